// Convolutions and linear layers of any shape, of any type, without tensor cores.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y = activation(conv(x, x2) + bias + rows[row_index] + residual). A linear layer is a 1x1 convolution of one image that is
// output_rows high. With `gated`, the first half of the columns times gelu of the second half. y may be residual.
typedef struct GemmTiledArgs {
  const void* x;
  const void* x2;
  // [columns][ky][kx][channels1 + channels2]
  const void* weight;
  const void* bias;
  const void* rows;
  const int32_t* row_index;
  const void* residual;
  void* y;
  int64_t output_rows;
  int32_t channels1;
  int32_t channels2;
  // Of the sources, before they are doubled by `upsample`.
  int32_t height;
  int32_t width;
  int32_t out_height;
  int32_t out_width;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride;
  int32_t pad_top;
  int32_t pad_left;
  int32_t upsample;
  int32_t columns;
  int32_t table_rows;
  int32_t activation;
  int32_t gated;
  int32_t element;
} GemmTiledArgs;
int calotype_gemm_tiled(const GemmTiledArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
