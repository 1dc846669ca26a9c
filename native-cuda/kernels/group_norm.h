/** @file Group normalisation over NHWC (Wu and He 2018), optionally followed by an activation. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeGroupNormArgs {
  /** [batch, pixels, channels] 16 bits */
  const void *x;
  /** [batch, pixels, channels2] 16 bits or null: read as if concatenated to x along channels. */
  const void *x2;
  /** [channels + channels2] 16 bits */
  const void *weight, *bias;
  /** [batch, pixels, channels + channels2] 16 bits; may be x where there is no x2. */
  void *out;
  /** calotype_group_norm_scratch() bytes, or null where that is 0. Need not be cleared. */
  void *scratch;
  int32_t batch, pixels;
  /** Multiples of 8. Any number of channels a group, groups may straddle the two sources. */
  int32_t channels, channels2, groups;
  float eps;
  /** CALOTYPE_NONE or CALOTYPE_SILU; others are CALOTYPE_UNSUPPORTED. */
  int32_t activation;
  /** CalotypeElement, of 16 bits. */
  int32_t element;
  /** CalotypeFlags. */
  int32_t flags;
} CalotypeGroupNormArgs;

/** Launches one kernel where an image fits the shared memory of a cluster, else two. */
int calotype_group_norm(const CalotypeGroupNormArgs *args, cudaStream_t stream);

/** Bytes of scratch that these arguments need on this device; 0 if none. Pointers are not looked at. */
int64_t calotype_group_norm_scratch(const CalotypeGroupNormArgs *args);

#ifdef __cplusplus
}
#endif
