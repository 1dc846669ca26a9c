/** @file The end of the matrix kernels: scales, bias, time embedding, residual and activation on eight columns of a row. */
#pragma once
#include "lib/element.cuh"
#include "math.cuh"
#include "matrix.h"

namespace calotype {

constexpr int kChunk = 32;  // columns a warp hands to the epilogue at a time
constexpr int kChunkPitch = kChunk + 8;

/** Offset in `out` of row m of the product: for an upsampled image the pixels of a phase lie two apart. */
template <class T>
__device__ __forceinline__ size_t out_offset(const Epilogue<T> &e, int m, int column, int phase) {
  size_t row = m;
  if (e.phases > 1) {
    const int image = m / e.pixels, pixel = m - image * e.pixels, y = pixel / e.width, x = pixel - y * e.width;
    row = size_t(image) * e.pixels * 4 + size_t(2 * y + (phase >> 1)) * (2 * e.width) + 2 * x + (phase & 1);
  }
  return row * e.outColumns + column;
}

/** What a lane needs of memory to finish a chunk, asked for while the sums are still being made. */
struct Early {
  /** Of its eight columns. */
  uint4 bias;
  /** For each of its rows the residual, or the image's vector where there is no residual; for geglu the gates' bias. */
  uint4 extra[2];
};

template <class T>
__device__ __forceinline__ uint4 load_eight(const T *from) { return *reinterpret_cast<const uint4 *>(from); }

/** The time embedding of eight columns of row m. */
template <class T>
__device__ __forceinline__ uint4 load_rows(const Epilogue<T> &e, int m, int column) {
  const int image = m / e.pixels, row = e.rowIndex ? __ldg(e.rowIndex + image) : image;
  return load_eight(e.rows + size_t(row) * e.outColumns + column);
}

template <class T>
__device__ __forceinline__ uint4 load_extra(const Epilogue<T> &e, int m, int column, int phase) {
  if (m >= e.m || column >= e.outColumns || e.outColumns % 8) return make_uint4(0, 0, 0, 0);
  if (e.residual) return load_eight(e.residual + out_offset(e, m, column, phase));
  return e.rows ? load_rows(e, m, column) : make_uint4(0, 0, 0, 0);
}

template <class T>
__device__ __forceinline__ uint4 load_bias(const Epilogue<T> &e, int column) {
  if (!e.bias || column >= e.n || e.n % 8) return make_uint4(0, 0, 0, 0);
  return load_eight(e.bias + column);
}

/** Sums of a Scaled format become values: each has a factor for its row and one for its column. */
template <class F>
__device__ __forceinline__ void scale_eight(const Epilogue<typename F::Value> &e, int m, int column, float (&v)[8]) {
  if constexpr (F::Scaled) {
    const float row = __ldg(e.rowScale + m);
    const float4 *columns = reinterpret_cast<const float4 *>(e.columnScale + column);
    const float4 low = __ldg(columns), high = __ldg(columns + 1);
    const float factors[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] *= row * factors[i];
  }
}

/** One by one: the few columns of a last layer, whose rows are not aligned. */
template <class T>
__device__ __noinline__ void finish_unaligned(const Epilogue<T> &e, int m, int column, int phase, float4 low,
                                              float4 high) {
  const int image = m / e.pixels, row = e.rows && e.rowIndex ? e.rowIndex[image] : image;
  const size_t offset = out_offset(e, m, column, phase);
  const float sums[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  for (int i = 0; i < 8 && column + i < e.outColumns; i++) {
    float v[8] = {sums[i]};
    if (e.bias) v[0] += to_float(e.bias[column + i]);
    if (e.rows) v[0] += to_float(e.rows[size_t(row) * e.outColumns + column + i]);
    if (e.residual) v[0] += to_float(e.residual[offset + i]);
    activate(v, e.activation);
    e.out[offset + i] = from_float<T>(v[0]);
  }
}

/** Finishes and stores eight columns from `column` on. */
template <class F>
__device__ __forceinline__ void finish(const Epilogue<typename F::Value> &e, int m, int column, int phase,
                                       float (&v)[8], const uint4 &bias, const uint4 &extra) {
  using T = typename F::Value;
  if (m >= e.m || column >= e.outColumns) return;
  if (!F::Scaled && e.outColumns % 8) {
    finish_unaligned(e, m, column, phase, make_float4(v[0], v[1], v[2], v[3]), make_float4(v[4], v[5], v[6], v[7]));
    return;
  }
  scale_eight<F>(e, m, column, v);
  if (e.bias) add<T>(v, bias);
  if (e.residual || e.rows) add<T>(v, extra);
  if (e.residual && e.rows) add<T>(v, load_rows(e, m, column));
  activate(v, e.activation);
  *reinterpret_cast<uint4 *>(e.out + out_offset(e, m, column, phase)) = pack<T>(v);
}

/** Writes [16, columns] of a warp's sums as rows; half the lanes' pairs land in other banks than the rest. */
template <int Columns, class Sum>
__device__ __forceinline__ void spill_rows(const Sum *sum, float *to, int pitch) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < Columns / 8; i++) {
    float *at = to + (lane / 4) * pitch + i * 8 + lane % 4 * 2;
    *reinterpret_cast<float2 *>(at) = make_float2(float(sum[4 * i]), float(sum[4 * i + 1]));
    *reinterpret_cast<float2 *>(at + 8 * pitch) = make_float2(float(sum[4 * i + 2]), float(sum[4 * i + 3]));
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

/** The rows and columns of a lane in a chunk of [16, Columns]: eight columns of one or two rows. */
template <int Columns>
struct ChunkLane {
  static constexpr int Groups = Columns / 8, Passes = Columns / 16;
  static_assert(Columns == 16 || Columns == 32, "a lane has one or two rows");
  const int row = threadIdx.x % 32 / Groups, column = threadIdx.x % 32 % Groups * 8;
  /** Rows between a lane's first and second. */
  static constexpr int Step = 32 / Groups;
};

template <int Columns, class T>
__device__ __forceinline__ Early load_early(const Epilogue<T> &e, int m, int n, int phase) {
  const ChunkLane<Columns> lane;
  Early early = {load_bias(e, n + lane.column), {}};
#pragma unroll
  for (int pass = 0; pass < lane.Passes; pass++)
    early.extra[pass] = load_extra(e, m + lane.row + pass * lane.Step, n + lane.column, phase);
  return early;
}

/** One chunk of columns of a warp's 16 rows, from sums to stored values. */
template <class F, int Columns>
__device__ __forceinline__ void finish_chunk(const Epilogue<typename F::Value> &e, const typename F::Sum *sum,
                                             float *stage, int m, int n, int phase, const Early &early) {
  const ChunkLane<Columns> lane;
  __syncwarp();
  spill_rows<Columns>(sum, stage, kChunkPitch);
  __syncwarp();
  const float *from = stage + lane.row * kChunkPitch + lane.column;
  float v[8];
  // Not unrolled: the code of all activations is long, and should stay in the instruction cache.
  uint4 extra = early.extra[0];
#pragma unroll 1
  for (int pass = 0; pass < lane.Passes; pass++) {
    read_eight(from + pass * lane.Step * kChunkPitch, v);
    finish<F>(e, m + lane.row + pass * lane.Step, n + lane.column, phase, v, early.bias, extra);
    extra = early.extra[1];
  }
}

}  // namespace calotype
