/** @file The end of the matrix kernels: bias, time embedding, residual and activation on eight columns of one row. */
#pragma once
#include "math.cuh"
#include "matrix.h"

namespace calotype {

constexpr int kChunk = 32;  // columns a warp hands to the epilogue at a time
constexpr int kChunkPitch = kChunk + 8;

/** Offset in `out` of row m of the product: for an upsampled image the pixels of a phase lie two apart. */
__device__ __forceinline__ size_t out_offset(const Epilogue &e, int m, int column, int phase) {
  size_t row = m;
  if (e.phases > 1) {
    const int image = m / e.pixels, pixel = m - image * e.pixels, y = pixel / e.width, x = pixel - y * e.width;
    row = size_t(image) * e.pixels * 4 + size_t(2 * y + (phase >> 1)) * (2 * e.width) + 2 * x + (phase & 1);
  }
  return row * e.outColumns + column;
}

/** The residual of eight columns, to be asked for early; zeros where there is none, or no whole eight. */
__device__ __forceinline__ uint4 load_residual(const Epilogue &e, int m, int column, int phase) {
  if (!e.residual || m >= e.m || column >= e.outColumns || e.outColumns % 8) return make_uint4(0, 0, 0, 0);
  return *reinterpret_cast<const uint4 *>(e.residual + out_offset(e, m, column, phase));
}

/** One by one: the few columns of a last layer, whose rows are not aligned. */
__device__ __noinline__ void finish_unaligned(const Epilogue &e, int m, int column, int phase, const float (&sums)[8]) {
  const int image = m / e.pixels, row = e.rows && e.rowIndex ? e.rowIndex[image] : image;
  const size_t offset = out_offset(e, m, column, phase);
  for (int i = 0; i < 8 && column + i < e.outColumns; i++) {
    float v[8] = {sums[i]};
    if (e.bias) v[0] += __half2float(e.bias[column + i]);
    if (e.rows) v[0] += __half2float(e.rows[size_t(row) * e.outColumns + column + i]);
    if (e.residual) v[0] += __half2float(e.residual[offset + i]);
    activate(v, e.activation);
    e.out[offset + i] = __float2half(v[0]);
  }
}

/** Finishes and stores eight columns from `column` on. */
__device__ __forceinline__ void finish(const Epilogue &e, int m, int column, int phase, float (&v)[8],
                                       const uint4 &residual) {
  if (m >= e.m || column >= e.outColumns) return;
  if (e.outColumns % 8) return finish_unaligned(e, m, column, phase, v);
  if (e.bias) add(v, __ldg(reinterpret_cast<const uint4 *>(e.bias + column)));
  if (e.rows) {
    const int image = m / e.pixels, row = e.rowIndex ? __ldg(e.rowIndex + image) : image;
    add(v, __ldg(reinterpret_cast<const uint4 *>(e.rows + size_t(row) * e.outColumns + column)));
  }
  if (e.residual) add(v, residual);
  activate(v, e.activation);
  *reinterpret_cast<uint4 *>(e.out + out_offset(e, m, column, phase)) = pack(v);
}

/** CALOTYPE_GEGLU: eight values from column n of the product on, and the eight gates after them. */
__device__ __forceinline__ void finish_geglu(const Epilogue &e, int m, int n, float (&v)[8], float (&gate)[8]) {
  if (m >= e.m || n >= e.n) return;
  if (e.bias) {
    add(v, __ldg(reinterpret_cast<const uint4 *>(e.bias + n)));
    add(gate, __ldg(reinterpret_cast<const uint4 *>(e.bias + n + 8)));
  }
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] *= gelu(gate[i]);
  *reinterpret_cast<uint4 *>(e.out + size_t(m) * e.outColumns + n / 2) = pack(v);
}

/** Writes [16, columns] of a warp's sums as rows; half the lanes' pairs land in other banks than the rest. */
template <int Columns>
__device__ __forceinline__ void spill_rows(const float *sum, float *to, int pitch) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < Columns / 8; i++) {
    float *at = to + (lane / 4) * pitch + i * 8 + lane % 4 * 2;
    *reinterpret_cast<float2 *>(at) = make_float2(sum[4 * i], sum[4 * i + 1]);
    *reinterpret_cast<float2 *>(at + 8 * pitch) = make_float2(sum[4 * i + 2], sum[4 * i + 3]);
  }
}

/** Eight floats in an order that keeps eight lanes in different banks. */
__device__ __forceinline__ void read_eight(const float *from, float (&v)[8]) {
  const bool swap = threadIdx.x & 4;
  const float4 a = *reinterpret_cast<const float4 *>(from + (swap ? 4 : 0));
  const float4 b = *reinterpret_cast<const float4 *>(from + (swap ? 0 : 4));
  const float4 low = swap ? b : a, high = swap ? a : b;
  v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
  v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

/** One chunk of columns of a warp's 16 rows, from sums to stored halves. */
template <int Columns>
__device__ __forceinline__ void finish_chunk(const Epilogue &e, const float *sum, float *stage, int m, int n, int phase) {
  const int lane = threadIdx.x % 32;
  constexpr int Groups = Columns / 8, Passes = ceil_div(16 * Groups, 32);
  uint4 residual[Passes];
#pragma unroll
  for (int pass = 0; pass < Passes; pass++) {
    const int unit = pass * 32 + lane, row = unit / Groups, column = unit % Groups * 8;
    residual[pass] = load_residual(e, m + row, n + column, phase);
  }
  __syncwarp();
  spill_rows<Columns>(sum, stage, kChunkPitch);
  __syncwarp();
  if (e.activation == CALOTYPE_GEGLU) {
    const int row = lane / (Groups / 2), column = lane % (Groups / 2) * 16;
    if (row < 16) {
      float value[8], gate[8];
      read_eight(stage + row * kChunkPitch + column, value);
      read_eight(stage + row * kChunkPitch + column + 8, gate);
      finish_geglu(e, m + row, n + column, value, gate);
    }
    return;
  }
#pragma unroll
  for (int pass = 0; pass < Passes; pass++) {
    const int unit = pass * 32 + lane, row = unit / Groups, column = unit % Groups * 8;
    float v[8];
    read_eight(stage + row * kChunkPitch + column, v);
    finish(e, m + row, n + column, phase, v, residual[pass]);
  }
}

}  // namespace calotype
