// Stored weights to the element types and layouts that kernels want; run once a weight.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// y[i] = stored[i] in another element type.
typedef struct ConvertWeightArgs {
  const void* stored;
  void* y;
  int64_t count;
  // Of the stored elements: an index into STORED_TYPES (src/weights.ts).
  int32_t type;
  int32_t element;
} ConvertWeightArgs;
int calotype_convert_weight(const ConvertWeightArgs* args, cudaStream_t stream);

// packed[filter][tap][channel] = source[filter][channel][tap], zero from the source's last channel on.
typedef struct PackFiltersArgs {
  const void* source;
  void* packed;
  int64_t filters;
  int32_t channels;
  int32_t packed_channels;
  int32_t taps;
  int32_t element;
} PackFiltersArgs;
int calotype_pack_filters(const PackFiltersArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
