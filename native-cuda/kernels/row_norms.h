// Norms of rows, the last axis.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y = (x - mean) / sqrt(variance + eps) * weight + bias
typedef struct LayerNormRowsArgs {
  const void* x;
  const void* weight;
  const void* bias;
  void* y;
  int64_t rows;
  int32_t channels;
  float eps;
  int32_t element;
} LayerNormRowsArgs;
int calotype_layer_norm_rows(const LayerNormRowsArgs* args, cudaStream_t stream);

// The same with scale and shift of an image, which are ranges of modulation[image] + table: normal * (1 + scale) + shift.
typedef struct AdaLayerNormArgs {
  const void* x;
  // [images, columns] and [columns]
  const void* modulation;
  const void* table;
  void* y;
  int64_t rows;
  int64_t image_rows;
  int32_t channels;
  int32_t columns;
  // First columns.
  int32_t shift;
  int32_t scale;
  float eps;
  int32_t element;
} AdaLayerNormArgs;
int calotype_ada_layer_norm(const AdaLayerNormArgs* args, cudaStream_t stream);

// y = x / sqrt(mean of squares + eps) * weight
typedef struct RmsNormArgs {
  const void* x;
  const void* weight;
  void* y;
  int64_t rows;
  int32_t channels;
  float eps;
  int32_t element;
} RmsNormArgs;
int calotype_rms_norm(const RmsNormArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
