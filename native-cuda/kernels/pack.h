/** @file Weights from torch's order into the order that the matrix kernels read. Run once a weight, on the device. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypePackArgs {
  /** As torch stores it. 16 bits. */
  const void *in;
  /** Elsewhere than `in`. */
  void *out;
  int32_t outChannels, channels, kernelHeight, kernelWidth;
  /** CalotypeElement, of 16 bits. */
  int32_t element;
} CalotypePackArgs;

/** [outChannels, channels, kernelHeight, kernelWidth] to [outChannels, kernelHeight, kernelWidth, channels]. */
int calotype_pack_conv(const CalotypePackArgs *args, cudaStream_t stream);

/**
 * [outChannels, channels, 3, 3] to [4, outChannels, 2, 2, channels]: a 3x3 convolution of an image that nearest
 * neighbour doubled is, for each of the four output phases (y odd, x odd), a 2x2 convolution of the image itself
 * whose taps are sums of the 3x3's. Sums in f32, rounded once; 4/9 of the products.
 */
int calotype_pack_conv_upsample(const CalotypePackArgs *args, cudaStream_t stream);

/**
 * [outChannels, channels] (kernelHeight = kernelWidth = 1; channels = 1 for a bias) whose first half of rows are
 * values and second half gates, to blocks of eight rows of values followed by their eight rows of gates.
 * outChannels is a multiple of 16.
 */
int calotype_pack_geglu(const CalotypePackArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
