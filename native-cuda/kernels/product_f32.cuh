/** @file What products of f32 have in common on all cards: how numbers are split, and how a tile's sums become outputs. */
#pragma once
#include "epilogue.cuh"
#include "lib/activation.cuh"
#include "matrix.h"
#include "product_f32.h"

namespace calotype {

/** Channels of one matrix instruction, and f32 channels of a row of 128 bytes in shared memory. */
constexpr int kStepChannels = 16, kBoxChannels = 32;

/** Of a source in the packed weight. */
constexpr __host__ __device__ int packed_channels(int channels) {
  return ceil_div(channels, kStepChannels) * kStepChannels;
}

/** The row, of eight, whose elements lanes 4 * i to 4 * i + 3 hold: those of neighbouring i lie in the halves of a swizzled row. */
__device__ __forceinline__ int lane_row() {
  const int i = threadIdx.x % 32 / 4;
  return i / 2 + i % 2 * 4;
}

/** Two numbers as pairs of bf16: rounded, and what that left. */
__device__ __forceinline__ void split(float a, float b, uint32_t &high, uint32_t &low) {
  high = pack2<__nv_bfloat16>(a, b);
  const float2 rounded = unpack2<__nv_bfloat16>(high);
  low = pack2<__nv_bfloat16>(a - rounded.x, b - rounded.y);
}

/** The left operand of one of two instructions: `x` is this lane's first row of 32 channels, whose units of 16 bytes are swizzled. */
__device__ __forceinline__ void load_split(const char *x, int second, uint32_t (&high)[4], uint32_t (&low)[4]) {
  const int unit = (second * 4 + threadIdx.x % 4) ^ lane_row();
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float4 v = *reinterpret_cast<const float4 *>(x + half * 8 * 128 + unit * 16);
    split(v.x, v.y, high[half], low[half]);
    split(v.z, v.w, high[half + 2], low[half + 2]);
  }
}

/** Two neighbouring columns of one of a lane's rows, from sums to stored values. */
struct Finish {
  const Epilogue<float> &e;
  /** Of this row in `out` and the residual, and in `rows`. */
  size_t offset[2], rowsOffset[2];
  int m;
  bool isPaired;

  __device__ __forceinline__ Finish(const Epilogue<float> &e, int firstRow, int phase)
      : e(e), m(firstRow), isPaired(e.outColumns % 2 == 0 && columns() % 2 == 0) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = m + half * 8, image = row / e.pixels;
      offset[half] = out_offset(e, row, 0, phase);
      const bool isRead = e.rows && e.rowIndex && row < e.m;
      rowsOffset[half] = size_t(isRead ? __ldg(e.rowIndex + image) : image) * columns();
    }
  }

  __device__ __forceinline__ int columns() const { return e.activation == CALOTYPE_GEGLU ? e.n / 2 : e.n; }
  __device__ __forceinline__ bool has(int half, int column) const { return m + half * 8 < e.m && column < columns(); }

  __device__ __forceinline__ float2 load(const float *from, int column) const {
    if (isPaired) return *reinterpret_cast<const float2 *>(from);
    return make_float2(from[0], column + 1 < columns() ? from[1] : 0.0f);
  }

  /** Without the activation. */
  __device__ __forceinline__ float2 value(const float *sums, int half, int column) const {
    float2 v = make_float2(sums[2 * half], sums[2 * half + 1]);
    const auto add = [&](const float *from) {
      const float2 other = load(from, column);
      v = make_float2(v.x + other.x, v.y + other.y);
    };
    if (e.bias) add(e.bias + column);
    if (e.rows) add(e.rows + rowsOffset[half] + column);
    if (e.residual) add(e.residual + offset[half] + column);
    return v;
  }

  __device__ __forceinline__ void store(float2 v, int half, int column) const {
    float *to = e.out + offset[half] + column;
    if (isPaired) {
      *reinterpret_cast<float2 *>(to) = v;
    } else {
      to[0] = v.x;
      if (column + 1 < columns()) to[1] = v.y;
    }
  }

  /** Blocks of eight columns from `column` on, of which this lane has two each. All is read before anything is stored. */
  template <int Blocks>
  __device__ __forceinline__ void finish(const float *sums, int column) const {
    column += threadIdx.x % 4 * 2;
    float2 v[Blocks][2];
#pragma unroll
    for (int i = 0; i < 2 * Blocks; i++)
      if (has(i % 2, column + i / 2 * 8)) v[i / 2][i % 2] = value(sums + i / 2 * 4, i % 2, column + i / 2 * 8);
#pragma unroll
    for (int i = 0; i < 2 * Blocks; i++)
      if (has(i % 2, column + i / 2 * 8)) store(v[i / 2][i % 2], i % 2, column + i / 2 * 8);
  }

  __device__ __forceinline__ void finish_activated(const float *sums, int column) const {
    column += threadIdx.x % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (!has(half, column)) continue;
      const float2 v = value(sums, half, column);
      store(make_float2(::activate<Exact>(v.x, e.activation), ::activate<Exact>(v.y, e.activation)), half, column);
    }
  }

  /** Of eight values and eight gates; there is no residual. */
  __device__ __forceinline__ void finish_gated(const float *sums, int column) const {
    column += threadIdx.x % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (!has(half, column)) continue;
      const float2 v = value(sums, half, column);
      float2 gate = make_float2(sums[4 + 2 * half], sums[4 + 2 * half + 1]);
      if (e.bias) {
        const float2 bias = load(e.bias + columns() + column, column);
        gate = make_float2(gate.x + bias.x, gate.y + bias.y);
      }
      store(make_float2(v.x * gelu(gate.x), v.y * gelu(gate.y)), half, column);
    }
  }

  /** Sixteen columns of the product from `column` on, whatever the activation. */
  __device__ __forceinline__ void finish_sixteen(const float *sums, int column) const {
    if (e.activation == CALOTYPE_NONE) return finish<2>(sums, column);
    if (e.activation == CALOTYPE_GEGLU) return finish_gated(sums, column / 2);
    finish_activated(sums, column);
    finish_activated(sums + 4, column + 8);
  }
};

/** For cards without wgmma: mma.sync. */
int product_f32_sm80(const MatrixProblem &problem, const CalotypeProductF32Args &args, cudaStream_t stream);

}  // namespace calotype
