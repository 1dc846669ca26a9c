/** @file The host's side of a launch: what device this is, tensor maps, and the attributes kernels need. */
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include <type_traits>

#include "calotype.h"

namespace calotype {

/** Compute capability of the current device, 90 for 9.0; 0 if there is none. */
inline int device_architecture() {
  int device, major, minor;
  if (cudaGetDevice(&device) || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device))
    return 0;
  return major * 10 + minor;
}

/** Whether the kernels that need sm_90a, which no later architecture runs, are to be taken. */
inline bool is_hopper() {
#ifdef CALOTYPE_NO_HOPPER
  return false;  // so that the other kernels can be tested on a Hopper card
#else
  return device_architecture() == 90;
#endif
}

inline int multiprocessors() {
  int device, count;
  if (cudaGetDevice(&device) || cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device)) return 1;
  return count;
}

/** A function of the driver, which this library does not link. */
template <typename Function>
Function driver_function(const char *name) {
  void *found = nullptr;
  cudaDriverEntryPointQueryResult result;
  if (cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result) ||
      result != cudaDriverEntryPointSuccess)
    return nullptr;
  return reinterpret_cast<Function>(found);
}

/** The copy engine's type for T; elements of eight bits are bytes to it. */
template <class T>
constexpr CUtensorMapDataType map_type() {
  if (sizeof(T) == 1) return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  return std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
}

/** Bytes of the rows that the copy engine swizzles: the innermost length of all boxes. */
constexpr int kRowBytes = 128;

/** A box of an array of T for the copy engine: sizes in elements, innermost first; strides in bytes, of all but it. */
template <class T>
bool encode_tiled(CUtensorMap *map, const void *base, int rank, const uint64_t *size, const uint64_t *strideBytes,
                  const uint32_t *box) {
  static const auto encode =
      driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  const uint32_t ones[5] = {1, 1, 1, 1, 1};
  return encode && !encode(map, map_type<T>(), rank, const_cast<void *>(base),
                           reinterpret_cast<const cuuint64_t *>(size),
                           reinterpret_cast<const cuuint64_t *>(strideBytes), box, ones,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

/** Boxes of [rows, 128 bytes] of a dense matrix. */
template <class T>
bool encode_matrix(CUtensorMap *map, const void *base, uint64_t rows, uint64_t columns, uint32_t boxRows) {
  const uint64_t size[] = {columns, rows}, stride[] = {columns * sizeof(T)};
  const uint32_t box[] = {kRowBytes / sizeof(T), boxRows};
  return encode_tiled<T>(map, base, 2, size, stride, box);
}

/** What one tap of a convolution reads of an NHWC image: `pixels` output pixels in a row, 128 bytes of each. */
struct Im2colShape {
  int batch, height, width, channels;
  int stride;
  /** Of the top left pixel's first tap, and how far beyond the bottom right one the last pixel's first tap may lie. */
  int lowerX, lowerY, upperX, upperY;
  int pixels;
};

template <class T>
bool encode_im2col(CUtensorMap *map, const void *base, const Im2colShape &s) {
  static const auto encode =
      driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  const cuuint64_t size[] = {cuuint64_t(s.channels), cuuint64_t(s.width), cuuint64_t(s.height), cuuint64_t(s.batch)};
  const cuuint64_t row = size[0] * sizeof(T);
  const cuuint64_t stride[] = {row, row * size[1], row * size[1] * size[2]};
  const int lower[] = {s.lowerX, s.lowerY}, upper[] = {s.upperX, s.upperY};
  const cuuint32_t steps[] = {1, cuuint32_t(s.stride), cuuint32_t(s.stride), 1};
  if (!encode || encode(map, map_type<T>(), 4, const_cast<void *>(base), size, stride, lower, upper,
                        kRowBytes / sizeof(T), s.pixels, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE))
    return false;
  // Drivers up to 13.1 set a bit for tensors under 128 KB that makes the engine read beyond them (CUTLASS clears it too).
  const cuuint64_t bytes = stride[2] * size[3];
  if (bytes < 131072) reinterpret_cast<uint64_t *>(map)[1] &= ~(uint64_t(1) << 21);
  return true;
}

struct LaunchShape {
  int blocks, threads;
  size_t sharedBytes = 0;
  int cluster = 1;
};

/** Launches with the attributes that the shape and CalotypeFlags ask for. */
template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), const LaunchShape &shape, int flags, cudaStream_t stream,
           const Arguments &...arguments) {
  if (shape.sharedBytes > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.sharedBytes));
    if (error) return error;
  }
  if (shape.cluster > 8) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    if (error) return error;
  }
  cudaLaunchAttribute attributes[2];
  int count = 0;
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster;
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  // Code for later cards is made from sm_80's, which does not wait.
  if ((flags & CALOTYPE_OVERLAP) && is_hopper()) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.sharedBytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

}  // namespace calotype
