/** @file Eight 16-bit elements at a time. T is __half or __nv_bfloat16. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include <type_traits>

#include "calotype.h"
#include "lib/activation.cuh"

namespace calotype {

/** Rounds up to whole units. */
constexpr __host__ __device__ int ceil_div(int a, int b) { return (a + b - 1) / b; }

template <class T>
__device__ __forceinline__ float2 unpack2(uint32_t pair) {
  if constexpr (std::is_same_v<T, __half>)
    return __half22float2(*reinterpret_cast<const __half2 *>(&pair));
  else
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

template <class T>
__device__ __forceinline__ uint32_t pack2(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&pair);
  }
}

template <class T>
__device__ __forceinline__ void unpack(const uint4 &from, float (&v)[8]) {
  const uint32_t pairs[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 pair = unpack2<T>(pairs[i]);
    v[2 * i] = pair.x;
    v[2 * i + 1] = pair.y;
  }
}

template <class T>
__device__ __forceinline__ uint4 pack(const float (&v)[8]) {
  return make_uint4(pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3]), pack2<T>(v[4], v[5]), pack2<T>(v[6], v[7]));
}

template <class T>
__device__ __forceinline__ void add(float (&v)[8], const uint4 &elements) {
  float other[8];
  unpack<T>(elements, other);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += other[i];
}

/** The same `activation` for all threads. */
__device__ __forceinline__ void activate(float (&v)[8], int activation) {
  by_activation<Quick>(activation, [&](auto function) {
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = function(v[i]);
  });
}

}  // namespace calotype
