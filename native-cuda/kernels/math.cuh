/** @file Eight halves at a time, and the activations of CalotypeActivation. */
#pragma once
#include <cuda_fp16.h>
#include <stdint.h>

#include "calotype.h"

namespace calotype {

/** Rounds up to whole units. */
constexpr __host__ __device__ int ceil_div(int a, int b) { return (a + b - 1) / b; }

__device__ __forceinline__ void unpack(const uint4 &from, float (&v)[8]) {
  const __half2 *h = reinterpret_cast<const __half2 *>(&from);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 pair = __half22float2(h[i]);
    v[2 * i] = pair.x;
    v[2 * i + 1] = pair.y;
  }
}

__device__ __forceinline__ uint32_t pack2(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t *>(&pair);
}

__device__ __forceinline__ uint4 pack(const float (&v)[8]) {
  return make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
}

__device__ __forceinline__ void add(float (&v)[8], const uint4 &halves) {
  float other[8];
  unpack(halves, other);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += other[i];
}

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }
__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }
__device__ __forceinline__ float gelu_tanh(float x) {
  return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}

template <typename F>
__device__ __forceinline__ void each(float (&v)[8], F f) {
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = f(v[i]);
}

/** The same `activation` for all threads. */
__device__ __forceinline__ void activate(float (&v)[8], int activation) {
  switch (activation) {
    case CALOTYPE_RELU:
      return each(v, [](float x) { return fmaxf(x, 0.0f); });
    case CALOTYPE_SILU:
      return each(v, [](float x) { return silu(x); });
    case CALOTYPE_GELU:
      return each(v, [](float x) { return gelu(x); });
    case CALOTYPE_QUICK_GELU:
      return each(v, [](float x) { return x * sigmoid(1.702f * x); });
    case CALOTYPE_TANH:
      return each(v, [](float x) { return tanhf(x); });
    case CALOTYPE_GELU_TANH:
      return each(v, [](float x) { return gelu_tanh(x); });
  }
}

}  // namespace calotype
