/**
 * @file Online softmax (Milakov and Gimelshein 2018) on scores as the matrix instructions leave them: of each eight
 * columns a thread has two, in rows lane / 4 and lane / 4 + 8 of its warp's sixteen.
 */
#pragma once
#include "math.cuh"

namespace calotype {

/** A row's running maximum and sum, for the two rows that a thread has a part of. */
struct SoftmaxRows {
  float maximum[2], sum[2];
};

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/** Of the four lanes that share a row. */
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

/** Scores beyond the keys, or after the query, become minus infinity. `row` is the first of the warp's rows. */
template <int Keys>
__device__ __forceinline__ void mask_scores(float (&score)[Keys / 2], int keys, bool causal, int row, int key) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < Keys / 2; i++) {
    const int column = key + i / 4 * 8 + lane % 4 * 2 + i % 2, query = row + lane / 4 + (i & 2) * 4;
    if (column >= keys || (causal && column > query)) score[i] = -INFINITY;
  }
}

/** Scores become weights; `factor` is what sums so far have to be multiplied by. */
template <int Keys>
__device__ __forceinline__ void softmax_step(float (&score)[Keys / 2], SoftmaxRows &rows, float scale,
                                             float (&factor)[2]) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float top = rows.maximum[half];
#pragma unroll
    for (int i = 2 * half; i < Keys / 2; i += 4) top = fmaxf(top, fmaxf(score[i], score[i + 1]));
    top = quad_max(top);
    factor[half] = exp2_fast((rows.maximum[half] - top) * scale);
    rows.maximum[half] = top;
    const float shift = top * scale;
    float sum[2] = {0.0f, 0.0f};
#pragma unroll
    for (int i = 2 * half; i < Keys / 2; i += 4)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        score[i + j] = exp2_fast(fmaf(score[i + j], scale, -shift));
        sum[j] += score[i + j];
      }
    rows.sum[half] = rows.sum[half] * factor[half] + sum[0] + sum[1];
  }
}

/** Accumulators of [64, Keys] as the left operand of the next product. */
template <class E, int Keys>
__device__ __forceinline__ void to_operand(const float (&score)[Keys / 2], uint32_t (&weight)[Keys / 4]) {
#pragma unroll
  for (int i = 0; i < Keys / 4; i++) weight[i] = pack2<E>(score[2 * i], score[2 * i + 1]);
}

}  // namespace calotype
