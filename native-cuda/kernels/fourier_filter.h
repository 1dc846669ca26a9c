// The lowest frequencies of images scaled.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y = x + change * the part of x at the frequencies 0 and -1 of both axes, times the number of pixels. Waves: cosine and
// sine of each row's and column's angle, zeros for an axis of one pixel.
typedef struct FourierFilterArgs {
  const void* x;
  void* y;
  const float* row_waves;
  const float* column_waves;
  int32_t images;
  int32_t height;
  int32_t width;
  int32_t channels;
  float change;
  int32_t element;
} FourierFilterArgs;
int calotype_fourier_filter(const FourierFilterArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
