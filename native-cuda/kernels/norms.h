// Group normalisation.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A value of `images` images of `image_rows` rows, each of channels1 channels of x and then channels2 of x2.
typedef struct NormSource {
  const void* x;
  const void* x2;
  int32_t channels1;
  int32_t channels2;
  int32_t groups;
  int32_t images;
  int64_t image_rows;
} NormSource;

// partials[image, chunk, group] = sums of x - pivot and of its square over a chunk of rows; pivot is the group's first value.
typedef struct GroupNormMomentsArgs {
  NormSource source;
  float* partials;
  int32_t chunks;
  int32_t chunk_rows;
  int32_t element;
} GroupNormMomentsArgs;
int calotype_group_norm_moments(const GroupNormMomentsArgs* args, cudaStream_t stream);

// y[image, group] = count, mean and sum of squared differences, joined with those in `previous`.
typedef struct GroupNormStatisticsArgs {
  NormSource source;
  const float* partials;
  const float* previous;
  float* y;
  int32_t chunks;
  int32_t element;
} GroupNormStatisticsArgs;
int calotype_group_norm_statistics(const GroupNormStatisticsArgs* args, cudaStream_t stream);

// The normalised value, by partials (chunks > 0) or by given statistics.
typedef struct GroupNormApplyArgs {
  NormSource source;
  const float* partials;
  const float* statistics;
  const void* weight;
  const void* bias;
  void* y;
  int32_t chunks;
  int32_t activation;
  float eps;
  int32_t element;
} GroupNormApplyArgs;
int calotype_group_norm_apply(const GroupNormApplyArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
