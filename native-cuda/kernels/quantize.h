// Rows of activations and of weights in eight bits, each with a scale of its own.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y = round(x / scale), scales[row] = max |x[row]| / the largest number of the format (127, or 448 for e4m3). A row of zeros
// has scale 0. With `gated`, rows go into blocks of eight values and their eight gates, as calotype_pack_geglu orders them.
typedef struct QuantizeRowsArgs {
  const void* x;
  void* y;
  float* scales;
  int32_t rows;
  // A multiple of 16.
  int32_t channels;
  int32_t gated;
  // CALOTYPE_INT8 or CALOTYPE_FP8.
  int32_t operands;
  // Of x: CALOTYPE_F16 or CALOTYPE_BF16.
  int32_t element;
  // CalotypeFlags.
  int32_t flags;
} QuantizeRowsArgs;
int calotype_quantize_rows(const QuantizeRowsArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
