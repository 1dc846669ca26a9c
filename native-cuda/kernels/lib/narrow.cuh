// Numbers of eight bits: how far they reach, and how floats become them.
#pragma once

#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>

template <class T>
constexpr float LARGEST = std::is_same_v<T, int8_t> ? 127.0f : 448.0f;

// Rounds to nearest, ties to even. `value` is within the format's reach but for a rounding of its own.
template <class T>
__device__ inline T to_narrow(float value) {
  if constexpr (std::is_same_v<T, int8_t>)
    return static_cast<int8_t>(min(max(__float2int_rn(value), -127), 127));
  else
    return __nv_fp8_e4m3(value);
}
