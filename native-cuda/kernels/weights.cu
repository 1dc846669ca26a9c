// Weights: a thread writes one element.
#include "weights.h"

#include <cuda_fp8.h>

#include "lib/element.cuh"

namespace {

constexpr int THREADS = 256;

enum StoredType : int32_t { F32, F16, BF16, F8_E4M3, F8_E5M2 };

__device__ float stored_float(const void* stored, int64_t at, int32_t type) {
  switch (type) {
    case F16:
      return __half2float(static_cast<const __half*>(stored)[at]);
    case BF16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(stored)[at]);
    case F8_E4M3:
    case F8_E5M2: {
      const auto format = type == F8_E4M3 ? __NV_E4M3 : __NV_E5M2;
      return __half2float(__half(__nv_cvt_fp8_to_halfraw(static_cast<const __nv_fp8_storage_t*>(stored)[at], format)));
    }
    default:
      return static_cast<const float*>(stored)[at];
  }
}

template <class T>
__global__ void convert_weight_kernel(ConvertWeightArgs args) {
  const int64_t at = global_thread();
  if (at < args.count) static_cast<T*>(args.y)[at] = from_float<T>(stored_float(args.stored, at, args.type));
}

template <class T>
__global__ void pack_filters_kernel(PackFiltersArgs args) {
  const int64_t at = global_thread();
  const int64_t filter_elements = static_cast<int64_t>(args.packed_channels) * args.taps;
  if (at >= args.filters * filter_elements) return;
  const int64_t first = at / filter_elements * args.channels * args.taps;
  const int64_t tap = at % filter_elements / args.packed_channels;
  const int64_t channel = at % args.packed_channels;
  static_cast<T*>(args.packed)[at] =
      channel < args.channels ? static_cast<const T*>(args.source)[first + channel * args.taps + tap] : from_float<T>(0.0f);
}

}  // namespace

int calotype_convert_weight(const ConvertWeightArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    convert_weight_kernel<decltype(zero)><<<blocks_for(args->count, THREADS), THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}

int calotype_pack_filters(const PackFiltersArgs* args, cudaStream_t stream) {
  by_type(args->element, [&](auto zero) {
    const int64_t items = args->filters * args->packed_channels * args->taps;
    pack_filters_kernel<decltype(zero)><<<blocks_for(items, THREADS), THREADS, 0, stream>>>(*args);
  });
  return cudaGetLastError();
}
