/** @file softmax(q k^T * scale + bias) v for each head: masks and relative positions. */
#pragma once
#include "attention.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeBiasedAttentionArgs {
  /** headDim up to 160; `config` is not read. */
  CalotypeAttentionArgs attention;
  /** A number of `element` for each score, at the strides below from one another (0 along an axis where all are alike). */
  const void *bias;
  int64_t biasBatch;
  int32_t biasKey, biasQuery, biasHead;
} CalotypeBiasedAttentionArgs;

/** Launches one kernel. CALOTYPE_UNSUPPORTED for other head sizes. */
int calotype_attention_biased(const CalotypeBiasedAttentionArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
