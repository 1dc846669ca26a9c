// Element types of values, vectors of them, and how a launch picks its template arguments.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }

template <class T>
__device__ inline T from_float(float value) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(value);
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

// Calls `launch` with a value of the element type.
template <class Launch>
void by_type(int32_t half, Launch launch) {
  if (half)
    launch(__half{});
  else
    launch(float{});
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
