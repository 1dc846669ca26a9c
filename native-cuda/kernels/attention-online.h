// Attention of any shape and type, without tensor cores.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// softmax(q k^T * scale + bias) v for each head; pitches are elements from token to token of each operand.
typedef struct AttentionOnlineArgs {
  const void* q;
  const void* k;
  const void* v;
  // Null, or a number for each score, at the strides below from one another (0 along an axis where all are alike).
  const void* bias;
  void* y;
  int64_t bias_batch;
  int32_t bias_key;
  int32_t bias_query;
  int32_t bias_head;
  int32_t batch;
  int32_t queries;
  int32_t keys;
  int32_t heads;
  int32_t head_dim;
  int32_t q_pitch;
  int32_t k_pitch;
  int32_t v_pitch;
  float scale;
  int32_t causal;
  int32_t element;
} AttentionOnlineArgs;
int calotype_attention_online(const AttentionOnlineArgs* args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
