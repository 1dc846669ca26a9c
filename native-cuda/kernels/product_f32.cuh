/** @file What products of f32 have in common on all cards: how numbers are split, and how a tile's sums become outputs. */
#pragma once
#include "epilogue.cuh"
#include "lib/activation.cuh"
#include "matrix.h"
#include "product_f32.h"

namespace calotype {

/** Channels of one matrix instruction, and f32 channels of a row of 128 bytes in shared memory. */
constexpr int kStepChannels = 16, kBoxChannels = 32;

/** Elements of the packed weight, of which there are two halves each; the scales of its rows lie behind them. */
constexpr __host__ __device__ int64_t packed_elements(int64_t rows, int taps, int packedBoth) {
  return rows * taps * packedBoth;
}

/** Of a source in the packed weight. */
constexpr __host__ __device__ int packed_channels(int channels) {
  return ceil_div(channels, kStepChannels) * kStepChannels;
}

/** The row, of eight, whose elements lanes 4 * i to 4 * i + 3 hold: those of neighbouring i lie in the halves of a swizzled row. */
__device__ __forceinline__ int lane_row() {
  const int i = threadIdx.x % 32 / 4;
  return i / 2 + i % 2 * 4;
}

/** Two numbers as pairs of halves: rounded, and what that left. */
__device__ __forceinline__ void split(float a, float b, uint32_t &high, uint32_t &low) {
  high = pack2<__half>(a, b);
  const float2 rounded = unpack2<__half>(high);
  low = pack2<__half>(a - rounded.x, b - rounded.y);
}

/** What a row of the left operand is multiplied by before it is split, so that its largest number is between 2^14 and 2^15. */
struct RowScale {
  float factor, inverse;

  /** Powers of two, of a maximum that may be 0 or huge. */
  __device__ __forceinline__ explicit RowScale(float largest) {
    const int exponent = max(int(__float_as_uint(largest) >> 23), 27);
    factor = __uint_as_float(uint32_t(268 - exponent) << 23);
    inverse = __uint_as_float(uint32_t(exponent - 14) << 23);
  }
};

/** This lane's share of a stage of the left operand, of two rows: for each instruction four neighbouring channels. */
template <int Steps>
struct LeftOperand {
  float4 v[Steps][2];

  /** Reads one of two instructions: `x` is this lane's first row of 32 channels, whose units of 16 bytes are swizzled. */
  __device__ __forceinline__ void load(int step, const char *x, int second) {
    const int unit = (second * 4 + threadIdx.x % 4) ^ lane_row();
#pragma unroll
    for (int half = 0; half < 2; half++) v[step][half] = *reinterpret_cast<const float4 *>(x + half * 8 * 128 + unit * 16);
  }

  /** Of one of the rows. */
  __device__ __forceinline__ RowScale scale(int half) const {
    float largest = 0.0f;
#pragma unroll
    for (int step = 0; step < Steps; step++) {
      const float4 &x = v[step][half];
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w))));
    }
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    return RowScale(fmaxf(largest, __shfl_xor_sync(~0u, largest, 2)));
  }

  __device__ __forceinline__ void split_step(int step, const RowScale (&scales)[2], uint32_t (&high)[4],
                                             uint32_t (&low)[4]) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float4 &x = v[step][half];
      const float factor = scales[half].factor;
      split(x.x * factor, x.y * factor, high[half], low[half]);
      split(x.z * factor, x.w * factor, high[half + 2], low[half + 2]);
    }
  }
};

/**
 * A lane's sums of a tile, from sums to stored values: of each block of eight columns two of its first row and two of its
 * second, eight below. Paired: all rows in memory have an even number of columns.
 */
template <bool Paired>
struct Finish {
  const Epilogue<float> &e;
  /** Of these rows in `out` and the residual, and in `rows`. */
  size_t offset[2], rowsOffset[2];
  int m, columns;

  __device__ __forceinline__ Finish(const Epilogue<float> &e, int firstRow, int phase)
      : e(e), m(firstRow), columns(e.activation == CALOTYPE_GEGLU ? e.n / 2 : e.n) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = m + half * 8, image = row / e.pixels;
      offset[half] = out_offset(e, row, 0, phase);
      const bool isRead = e.rows && e.rowIndex && row < e.m;
      rowsOffset[half] = size_t(isRead ? __ldg(e.rowIndex + image) : image) * columns;
    }
  }

  __device__ __forceinline__ bool has(int half, int column) const { return m + half * 8 < e.m && column < columns; }

  __device__ __forceinline__ float2 load(const float *from, int column, bool isThere) const {
    if (Paired) return isThere ? *reinterpret_cast<const float2 *>(from) : make_float2(0.0f, 0.0f);
    return make_float2(isThere ? from[0] : 0.0f, isThere && column + 1 < columns ? from[1] : 0.0f);
  }

  /** Adds what belongs to each row, all of it asked for at once. */
  template <int Blocks>
  __device__ __forceinline__ void add(float2 (&v)[Blocks][2], const float *from, const size_t (&rowOffset)[2],
                                      int column) const {
    float2 other[Blocks][2];
#pragma unroll
    for (int i = 0; i < Blocks; i++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        other[i][half] = load(from + rowOffset[half] + column + 8 * i, column + 8 * i, has(half, column + 8 * i));
#pragma unroll
    for (int i = 0; i < Blocks; i++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        v[i][half] = make_float2(v[i][half].x + other[i][half].x, v[i][half].y + other[i][half].y);
  }

  template <int Blocks>
  __device__ __forceinline__ void add_bias(float2 (&v)[Blocks][2], const float *bias, int column) const {
    const size_t none[2] = {0, 0};
    if (bias) add<Blocks>(v, bias, none, column);
  }

  /** Of `Blocks` blocks, each `Stride` sums after the one before, whose columns in the output begin at `column`. */
  template <int Blocks, int Stride = 4>
  __device__ __forceinline__ void read(const float *sums, float2 (&v)[Blocks][2]) const {
#pragma unroll
    for (int i = 0; i < Blocks; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) v[i][half] = make_float2(sums[Stride * i + 2 * half], sums[Stride * i + 2 * half + 1]);
  }

  template <int Blocks>
  __device__ __forceinline__ void store(const float2 (&v)[Blocks][2], int column) const {
#pragma unroll
    for (int i = 0; i < Blocks; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float *to = e.out + offset[half] + column + 8 * i;
        const bool isThere = has(half, column + 8 * i);
        if (Paired) {
          if (isThere) *reinterpret_cast<float2 *>(to) = v[i][half];
        } else {
          if (isThere) to[0] = v[i][half].x;
          if (isThere && column + 8 * i + 1 < columns) to[1] = v[i][half].y;
        }
      }
  }

  /** `Blocks` blocks of eight columns from `column` on; Activates: whatever the activation, but for gates. */
  template <int Blocks, bool Activates>
  __device__ __forceinline__ void finish(const float *sums, int column) const {
    column += threadIdx.x % 4 * 2;
    float2 v[Blocks][2];
    read<Blocks>(sums, v);
    add_bias<Blocks>(v, e.bias, column);
    if (e.rows) add<Blocks>(v, e.rows, rowsOffset, column);
    if (e.residual) add<Blocks>(v, e.residual, offset, column);
    if (Activates) {
#pragma unroll
      for (int i = 0; i < Blocks; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          v[i][half] = make_float2(::activate<Exact>(v[i][half].x, e.activation), ::activate<Exact>(v[i][half].y, e.activation));
    }
    store<Blocks>(v, column);
  }

  /** Eight values and then their eight gates; there is no residual. */
  __device__ __forceinline__ void finish_gated(const float *sums, int column) const {
    column += threadIdx.x % 4 * 2;
    float2 v[1][2], gate[1][2];
    read<1>(sums, v);
    read<1>(sums + 4, gate);
    add_bias<1>(v, e.bias, column);
    add_bias<1>(gate, e.bias ? e.bias + columns : nullptr, column);
#pragma unroll
    for (int half = 0; half < 2; half++)
      v[0][half] = make_float2(v[0][half].x * Exact::gelu(gate[0][half].x), v[0][half].y * Exact::gelu(gate[0][half].y));
    store<1>(v, column);
  }

  /** Sixteen columns of the product from `column` on. */
  __device__ __forceinline__ void finish_sixteen(const float *sums, int column) const {
    if (e.activation == CALOTYPE_NONE) finish<2, false>(sums, column);
    else if (e.activation == CALOTYPE_GEGLU) finish_gated(sums, column / 2);
    else finish<2, true>(sums, column);
  }
};

/** Calls `use` with a Finish for rows of the output as they are. */
template <class Use>
__device__ __forceinline__ void with_finish(const Epilogue<float> &e, int firstRow, int phase, Use use) {
  const int columns = e.activation == CALOTYPE_GEGLU ? e.n / 2 : e.n;
  if (e.outColumns % 2 == 0 && columns % 2 == 0) use(Finish<true>(e, firstRow, phase));
  else use(Finish<false>(e, firstRow, phase));
}

/** Undoes the scaling of the weight's rows for blocks of eight columns from `column` on. */
template <int Blocks>
__device__ __forceinline__ void unscale(const Epilogue<float> &e, float *sums, int column, int phase) {
  const float *scales = e.columnScale + size_t(phase) * e.n;
  column += threadIdx.x % 4 * 2;
  float scale[Blocks][2];
#pragma unroll
  for (int i = 0; i < 2 * Blocks; i++) {
    const int at = column + i / 2 * 8 + i % 2;
    scale[i / 2][i % 2] = at < e.n ? __ldg(scales + at) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 4 * Blocks; i++) sums[i] *= scale[i / 4][i % 2];
}

/** The scales of a packed weight's rows. */
inline const float *scales_of(const MatrixProblem &p) {
  const int packedBoth = packed_channels(p.channels) + packed_channels(p.channels2);
  const int64_t elements = packed_elements(int64_t(p.phases) * p.n, p.taps(), packedBoth);
  return reinterpret_cast<const float *>(static_cast<const __half *>(p.weight) + 2 * elements);
}

/** For cards without wgmma: mma.sync. */
int product_f32_sm80(const MatrixProblem &problem, const CalotypeProductF32Args &args, cudaStream_t stream);

}  // namespace calotype
