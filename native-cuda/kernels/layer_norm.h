/** @file Layer normalisation over the last axis (Ba, Kiros and Hinton 2016). */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeLayerNormArgs {
  /** [rows, channels] f16 */
  const void *x;
  /** [channels] f16 */
  const void *weight, *bias;
  /** [rows, channels] f16; may be x. */
  void *out;
  /** channels: a multiple of 8, at most 8192. */
  int32_t rows, channels;
  float eps;
  /** CalotypeFlags. */
  int32_t flags;
} CalotypeLayerNormArgs;

int calotype_layer_norm(const CalotypeLayerNormArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
