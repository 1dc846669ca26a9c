/** @file softmax(q k^T * scale) v for each head, without the scores ever leaving the multiprocessor. */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeAttentionArgs {
  /** First element of head 0: the tensor's address plus the op's offset. Heads lie headDim channels apart. 16 bits. */
  const void *q, *k, *v;
  /** [batch, queries, heads * headDim] 16 bits */
  void *out;
  /** Channels of the tensors that q, k and v lie in: the distance between tokens, a multiple of 8. */
  int32_t qStride, kStride, vStride;
  int32_t batch, heads;
  /** A multiple of 8 up to 512; the kernels are 40, 48, 64, 72, 80, 96, 128, 160 and 512 wide, others round up. */
  int32_t headDim;
  int32_t queries, keys;
  /** Usually 1 / sqrt(headDim). */
  float scale;
  /** Not 0: a query sees only keys at its own position and before. */
  int32_t causal;
  /** CalotypeElement, of 16 bits. */
  int32_t element;
  /** CalotypeFlags. */
  int32_t flags;
  /** -1: the measured choice; 0: large blocks; 1: small ones. */
  int32_t config;
} CalotypeAttentionArgs;

/** Launches one kernel. CALOTYPE_UNSUPPORTED for other head sizes. */
int calotype_attention(const CalotypeAttentionArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
