/**
 * @file A tile finished in the registers that hold its sums: bias, residual or gate of most layers.
 *
 * A quad of lanes holds eight columns of a row as four pairs. Four such blocks of columns are transposed across the
 * quad, so that each lane stores 16 bytes, and the quad 64 of a row. What is to be added comes the same way in.
 */
#pragma once
#include "epilogue.cuh"

namespace calotype {

/** Lane i's word j becomes lane j's word i, in each quad of lanes. */
__device__ __forceinline__ void transpose_quad(uint32_t (&w)[4]) {
  const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
  const uint32_t a = __shfl_xor_sync(~0u, odd ? w[0] : w[1], 1), b = __shfl_xor_sync(~0u, odd ? w[2] : w[3], 1);
  w[0] = odd ? a : w[0], w[1] = odd ? w[1] : a;
  w[2] = odd ? b : w[2], w[3] = odd ? w[3] : b;
  const uint32_t c = __shfl_xor_sync(~0u, high ? w[0] : w[2], 2), d = __shfl_xor_sync(~0u, high ? w[1] : w[3], 2);
  w[0] = high ? c : w[0], w[2] = high ? w[2] : c;
  w[1] = high ? d : w[1], w[3] = high ? w[3] : d;
}

/** Whether a product can be finished here; all else is for finish_chunk, whose loop holds the code of all activations. */
template <class T>
__device__ __forceinline__ bool finishes_in_registers(const Epilogue<T> &e) {
  return (e.activation == CALOTYPE_NONE || e.activation == CALOTYPE_GEGLU) && e.outColumns % 8 == 0 &&
         !(e.residual && e.rows);
}

/**
 * Finishes the 16 rows that a warp has of each slab of [64, 8 * Blocks * Step] sums; the first row is `m`, slabs are 64 rows
 * apart, and columns of sums begin at `n`. Step is 2 where every other block of columns holds gates, else 1. Held: groups of
 * four blocks whose inputs are asked for ahead.
 */
template <class F, int Slabs, int Step, int Blocks, int Held>
struct RegisterFinish {
  using T = typename F::Value;
  static constexpr int Groups = (Blocks + 3) / 4, Units = Slabs * Groups;

  /** What a lane needs of memory for four blocks: pairs of the bias (and of the gates'), and its columns of what is added. */
  struct Inputs {
    uint32_t bias[4 * Step];
    uint4 extra[2];
  };

  const Epilogue<T> &e;
  /** This lane's first row, and the first of its eight columns of the first group. */
  const int m, n, column;
  const bool adds;
  size_t offset[Slabs][2];
  Inputs held[Held];

  __device__ __forceinline__ RegisterFinish(const Epilogue<T> &e, int firstRow, int n, int phase)
      : e(e),
        m(firstRow + threadIdx.x % 32 / 4),
        n(n),
        column(n / Step + threadIdx.x % 4 * 8),
        adds(Step == 1 && (e.residual || e.rows)) {
#pragma unroll
    for (int slab = 0; slab < Slabs; slab++)
#pragma unroll
      for (int half = 0; half < 2; half++) offset[slab][half] = out_offset(e, row(slab, half), 0, phase);
#pragma unroll
    for (int unit = 0; unit < Held && unit < Units; unit++) held[unit] = load(unit);
  }

  __device__ __forceinline__ int row(int slab, int half) const { return m + slab * 64 + half * 8; }

  /** Whether this lane has columns in the group. */
  __device__ __forceinline__ bool has(int slab, int half, int block) const {
    return block + int(threadIdx.x % 4) < Blocks && row(slab, half) < e.m && column + block * 8 < e.outColumns;
  }

  /** The column of this lane's pair in the i-th block of sums after `block` blocks of the output. */
  __device__ __forceinline__ int pair_column(int block, int i) const {
    return n + (block * Step + i) * 8 + threadIdx.x % 4 * 2;
  }

  __device__ __forceinline__ Inputs load(int unit) const {
    const int slab = unit / Groups, block = unit % Groups * 4;
    Inputs inputs = {};
    if (e.bias) {
#pragma unroll
      for (int i = 0; i < 4 * Step; i++)
        if (block + i / Step < Blocks && pair_column(block, i) < e.n)
          inputs.bias[i] = __ldg(reinterpret_cast<const uint32_t *>(e.bias + pair_column(block, i)));
    }
    if (adds) {
#pragma unroll
      for (int half = 0; half < 2; half++)
        if (has(slab, half, block))
          inputs.extra[half] = e.residual ? load_eight(e.residual + offset[slab][half] + column + block * 8)
                                          : load_rows(e, row(slab, half), column + block * 8);
    }
    return inputs;
  }

  /** A pair of sums with what belongs to its columns. */
  __device__ __forceinline__ float2 biased(const typename F::Sum *pair, float rowScale, int block, int i, uint32_t bias) const {
    float2 v = make_float2(float(pair[0]), float(pair[1]));
    if constexpr (F::Scaled) {
      const int at = pair_column(block, i);
      const float2 factor = at < e.n ? __ldg(reinterpret_cast<const float2 *>(e.columnScale + at)) : make_float2(0.0f, 0.0f);
      v = make_float2(v.x * (rowScale * factor.x), v.y * (rowScale * factor.y));
    }
    const float2 b = unpack2<T>(bias);
    return make_float2(v.x + b.x, v.y + b.y);
  }

  template <int Sums>
  __device__ __forceinline__ void store(const typename F::Sum (&sum)[Slabs][Sums]) {
#pragma unroll
    for (int unit = 0; unit < Units; unit++) {
      const int slab = unit / Groups, block = unit % Groups * 4;
      const Inputs inputs = held[unit % Held];
      if (unit + Held < Units) held[unit % Held] = load(unit + Held);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float rowScale = 1.0f;
        if constexpr (F::Scaled) rowScale = row(slab, half) < e.m ? __ldg(e.rowScale + row(slab, half)) : 0.0f;
        uint32_t extra[4] = {inputs.extra[half].x, inputs.extra[half].y, inputs.extra[half].z, inputs.extra[half].w};
        if (adds) transpose_quad(extra);
        uint32_t word[4] = {};
#pragma unroll
        for (int i = 0; i < 4 && block + i < Blocks; i++) {
          const typename F::Sum *pair = &sum[slab][4 * (block + i) * Step + 2 * half];
          float2 v = biased(pair, rowScale, block, i * Step, inputs.bias[i * Step]);
          if constexpr (Step == 2) {
            const float2 gate = biased(pair + 4, rowScale, block, i * 2 + 1, inputs.bias[i * 2 + 1]);
            v = make_float2(v.x * Quick::gelu(gate.x), v.y * Quick::gelu(gate.y));
          } else {
            const float2 other = unpack2<T>(extra[i]);
            v = make_float2(v.x + other.x, v.y + other.y);
          }
          word[i] = pack2<T>(v.x, v.y);
        }
        transpose_quad(word);
        if (has(slab, half, block))
          *reinterpret_cast<uint4 *>(e.out + offset[slab][half] + column + block * 8) =
              make_uint4(word[0], word[1], word[2], word[3]);
      }
    }
  }
};

}  // namespace calotype
