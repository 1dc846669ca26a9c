/** @file Layer normalisation over the last axis (Ba, Kiros and Hinton 2016). */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeLayerNormArgs {
  /** [rows, channels] 16 bits */
  const void *x;
  /** [channels] 16 bits */
  const void *weight, *bias;
  /** [rows, channels] 16 bits; may be x. */
  void *out;
  /** channels: a multiple of 8, at most 8192. */
  int32_t rows, channels;
  float eps;
  /** CalotypeElement, of 16 bits. */
  int32_t element;
  /** CalotypeFlags. */
  int32_t flags;
} CalotypeLayerNormArgs;

int calotype_layer_norm(const CalotypeLayerNormArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
