/** @file Convolution over NHWC as an implicit matrix product, with the epilogues of the graph's `conv2d`. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeConvArgs {
  /** [batch, height, width, channels] 16 bits */
  const void *x;
  /** [batch, height, width, channels2] 16 bits or null: read as if concatenated to x along channels. */
  const void *x2;
  /** [outChannels, kernelHeight, kernelWidth, channels + channels2] 16 bits, packed by calotype_pack_conv; if `upsample`,
   *  [4, outChannels, 2, 2, channels] by calotype_pack_conv_upsample. */
  const void *weight;
  /** [outChannels] 16 bits or null */
  const void *bias;
  /** [rows, outChannels] 16 bits or null: a vector added to every pixel of an image (time embedding). */
  const void *rows;
  /** [batch] i32 or null: which of `rows` each image takes; without it, its own. */
  const int32_t *rowIndex;
  /** As the output, or null; added before the activation; may be `out` itself. */
  const void *residual;
  /** [batch, outHeight, outWidth, outChannels] 16 bits */
  void *out;
  /** As in CalotypeGemmArgs. */
  void *partials, *counters;
  int64_t partialBytes;
  /** Of the input as it lies in memory. */
  int32_t batch, height, width;
  /** Multiples of 8. */
  int32_t channels, channels2;
  /** Need not be a multiple of 8, but is quicker so. */
  int32_t outChannels;
  int32_t kernelHeight, kernelWidth;
  int32_t stride;
  int32_t padTop, padLeft, padBottom, padRight;
  /** Height and width are doubled by nearest neighbour while loading: 3x3, stride 1, padding 1, one source only. */
  int32_t upsample;
  /** CalotypeActivation, not CALOTYPE_GEGLU. */
  int32_t activation;
  /** CalotypeElement, of 16 bits. */
  int32_t element;
  /** CalotypeFlags. */
  int32_t flags;
  /** As in CalotypeGemmArgs. */
  int32_t config;
  int32_t parts;
} CalotypeConvArgs;

/** Launches one kernel. CALOTYPE_UNSUPPORTED for input channels that are not multiples of 8, or a config that cannot. */
int calotype_conv(const CalotypeConvArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
