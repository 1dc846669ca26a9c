// Ops around the network: its input, timestep embedding, guidance, and the scheduler's step.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Where the parts of a coefficient row begin (src/schedulers/coefficients.ts of the core).
typedef struct CoefficientColumns {
  int32_t guidance_scale;
  int32_t guidance_rescale;
  int32_t input;
  int32_t x0_state;
  int32_t x0_output;
  int32_t clip;
  int32_t next_state;
  int32_t next_output;
  int32_t next_x0;
  int32_t next_noise;
  int32_t count;
} CoefficientColumns;

// y[copy, i] = sum_j input[j] * state[j, i]
typedef struct ModelInputArgs {
  const float* state;
  const float* coefficients;
  const int32_t* row;
  void* y;
  // Elements of a slot, and of what shares an entry of `row`.
  int64_t slot_elements;
  int64_t row_elements;
  int32_t slots;
  int32_t copies;
  int32_t table_rows;
  CoefficientColumns columns;
  int32_t element;
} ModelInputArgs;
int calotype_model_input(const ModelInputArgs* args, cudaStream_t stream);

// y[t, channel] = cos or sin of t * frequency
typedef struct TimestepEmbeddingArgs {
  const float* t;
  const float* frequencies;
  void* y;
  int32_t count;
  int32_t half_channels;
  int32_t cosines_first;
  int32_t element;
} TimestepEmbeddingArgs;
int calotype_timestep_embedding(const TimestepEmbeddingArgs* args, cudaStream_t stream);

// Guidance rescale's factor of each image; a block an image.
typedef struct GuidanceFactorArgs {
  const void* output;
  const float* coefficients;
  const int32_t* row;
  float* y;
  int64_t image_elements;
  int32_t images;
  int32_t table_rows;
  CoefficientColumns columns;
  int32_t element;
} GuidanceFactorArgs;
int calotype_guidance_factor(const GuidanceFactorArgs* args, cudaStream_t stream);

// y = factor * (uncond + scale * (cond - uncond)); no factor is 1.
typedef struct GuidanceArgs {
  const void* output;
  const float* coefficients;
  const int32_t* row;
  const float* factor;
  float* y;
  int64_t image_elements;
  int32_t images;
  int32_t table_rows;
  CoefficientColumns columns;
  int32_t element;
} GuidanceArgs;
int calotype_guidance(const GuidanceArgs* args, cudaStream_t stream);

// One scheduler step; with `guided`, of the guided output. y may be state.
typedef struct GuidedStepArgs {
  const float* state;
  const void* output;
  const float* factor;
  const float* noise;
  const float* coefficients;
  const int32_t* row;
  float* y;
  int64_t slot_elements;
  int64_t row_elements;
  int32_t slots;
  int32_t guided;
  int32_t table_rows;
  CoefficientColumns columns;
  int32_t element;
} GuidedStepArgs;
int calotype_guided_step(const GuidedStepArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
