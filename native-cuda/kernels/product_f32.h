/** @file Matrix products and convolutions of f32 on tensor cores, with the epilogues of the graph's `linear` and `conv2d`. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeProductF32Args {
  /** [batch, height, width, channels] f32; a matrix is one image that is as wide as it has rows. */
  const float *x;
  /** [batch, height, width, channels2] or null: read as if concatenated to x along channels. */
  const float *x2;
  /** Packed by calotype_pack_f32. */
  const void *weight;
  /** [outChannels] or null, also for CALOTYPE_GEGLU as torch stores it. */
  const float *bias;
  /** [rows, outChannels] or null: a vector added to every pixel of an image (time embedding). */
  const float *rows;
  /** [batch] i32 or null: which of `rows` each image takes; without it, its own. */
  const int32_t *rowIndex;
  /** As the output, or null; added before the activation; may be `out` itself. */
  const float *residual;
  /** [batch, outHeight, outWidth, outChannels], or half the channels for CALOTYPE_GEGLU. */
  float *out;
  /** Of the input as it lies in memory. */
  int32_t batch, height, width;
  /** Multiples of 4, but for the first of a matrix. */
  int32_t channels, channels2;
  /** A multiple of 16 for CALOTYPE_GEGLU. */
  int32_t outChannels;
  int32_t kernelHeight, kernelWidth;
  int32_t stride;
  int32_t padTop, padLeft, padBottom, padRight;
  /** Height and width are doubled by nearest neighbour while loading: 3x3, stride 1, padding 1, one source only. */
  int32_t upsample;
  /** CalotypeActivation. */
  int32_t activation;
  /** Elements from a row of x, or of `out`, to the next. x's is a multiple of 4, and its channels but for a matrix. */
  int32_t xPitch, outPitch;
  /** CalotypeFlags. */
  int32_t flags;
  /** A tile by its number, the last one being that of cards that are no Hopper; -1 for the one that fits best. */
  int32_t config;
} CalotypeProductF32Args;

/** Launches one kernel. CALOTYPE_UNSUPPORTED for sizes that are not as said above. */
int calotype_product_f32(const CalotypeProductF32Args *args, cudaStream_t stream);

typedef struct CalotypePackF32Args {
  /** f32: element [row][channel][tap] at row * rowPitch + channel * channelPitch + tap. */
  const float *in;
  /**
   * [2, phases, rows, taps, packed channels] f16: scaled numbers rounded, and then what is left of them; and behind them
   * [phases, rows] f32: what undoes the scaling of a row. Channels of each source are filled up with zeros to a multiple of 16.
   */
  void *out;
  int64_t rowPitch, channelPitch;
  int32_t rows, channels, channels2, taps;
  /** Not 0: for `upsample`; the 9 taps become 4, of 4 phases. */
  int32_t upsample;
  /** Not 0: the first half of rows are values and the second gates; they become blocks of eight values and their gates. */
  int32_t gated;
} CalotypePackF32Args;

/** Run once a weight; for attention, over its keys and values. */
int calotype_pack_f32(const CalotypePackF32Args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
