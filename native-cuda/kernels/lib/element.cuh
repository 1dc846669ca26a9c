// Element types of values, vectors of them, and how a launch picks its template arguments.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "../calotype.h"

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ inline T from_float(float value) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(value);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(value);
  else
    return value;
}

// N neighbouring elements, moved in one access. Values begin at multiples of 256 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

template <class T, int N>
__device__ inline Pack<T, N> load_pack(const void* values, int64_t element) {
  return *reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(values) + element);
}

template <class T, int N>
__device__ inline void store_pack(void* values, int64_t element, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(static_cast<T*>(values) + element) = pack;
}

template <class T>
__device__ inline float load_float(const void* values, int64_t element) {
  return to_float(static_cast<const T*>(values)[element]);
}

// Calls `launch` with a value of a 16-bit type, CALOTYPE_F16 or CALOTYPE_BF16, and returns what it returns.
template <class Launch>
auto by_narrow_type(int32_t element, Launch launch) {
  return element == CALOTYPE_BF16 ? launch(__nv_bfloat16{}) : launch(__half{});
}

// Calls `launch` with a value of the element type, by CalotypeElement.
template <class Launch>
void by_type(int32_t element, Launch launch) {
  if (element == CALOTYPE_F32)
    launch(float{});
  else
    by_narrow_type(element, launch);
}

// Calls `launch` with the number of elements of T that fill 16 bytes where all of `lengths` are multiples of it, else with 1.
template <class T, class Launch, class... Lengths>
void by_width(Launch launch, Lengths... lengths) {
  constexpr int WIDE = 16 / sizeof(T);
  if ((... && (lengths % WIDE == 0)))
    launch(std::integral_constant<int, WIDE>{});
  else
    launch(std::integral_constant<int, 1>{});
}

// Thread blocks for one thread an item.
inline unsigned blocks_for(int64_t items, int threads) {
  return static_cast<unsigned>((items + threads - 1) / threads);
}

inline __device__ int64_t global_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
