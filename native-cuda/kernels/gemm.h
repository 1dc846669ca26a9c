/** @file Matrix product with the epilogues of the graph's `linear`: out = act(x * weight^T + bias + residual). */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a matrix product multiplies. */
enum CalotypeOperands {
  /** Values as they are. */
  CALOTYPE_VALUES = 0,
  /** Both in eight bits, made by calotype_quantize_rows: signed integers, or e4m3 (Hopper only). */
  CALOTYPE_INT8 = 1,
  CALOTYPE_FP8 = 2,
};

/** Words that count the blocks which have left their part of a tile's sums. */
enum { CALOTYPE_COUNTERS = 2048 };

typedef struct CalotypeGemmArgs {
  /** [m, k] 16 bits, or as `operands` says. */
  const void *x;
  /** [n, k] likewise, as torch stores it; for CALOTYPE_GEGLU packed by calotype_pack_geglu. */
  const void *weight;
  /** [n] 16 bits or null; packed likewise for CALOTYPE_GEGLU. */
  const void *bias;
  /** [m, nOut] 16 bits or null, added before the activation; may be `out` itself. */
  const void *residual;
  /** [m, nOut] 16 bits, where nOut is n / 2 for CALOTYPE_GEGLU, else n. */
  void *out;
  /** [m] and [n] f32: what rows of x and of the weight were divided by. Null for CALOTYPE_VALUES. */
  const float *xScales;
  const float *weightScales;
  /** For the sums of `parts` blocks: 4 bytes for each of `parts` times the sums of whole tiles; may hold anything. */
  void *partials;
  /** CALOTYPE_COUNTERS u32, zero before a launch and after it. */
  void *counters;
  /** Of `partials`. */
  int64_t partialBytes;
  /** k is a multiple of 8 (of 16 for eight bits), n of 16 for CALOTYPE_GEGLU; other n need not be of 8, but are quicker so. */
  int32_t m, n, k;
  /** CalotypeOperands. */
  int32_t operands;
  /** CalotypeActivation. */
  int32_t activation;
  /** CalotypeElement of `out` and of what is added to it, of 16 bits. */
  int32_t element;
  /** CalotypeFlags. */
  int32_t flags;
  /** A tile of this card's kernel, by its number in matrix_sm90.h or matrix_sm80.cu; -1 for one that a model chooses. */
  int32_t config;
  /** Blocks that share the depth of a tile, each a part; 1 for none, and then neither partials nor counters are read. */
  int32_t parts;
} CalotypeGemmArgs;

/** Launches one kernel. CALOTYPE_UNSUPPORTED if `config` or the card cannot do this. */
int calotype_gemm(const CalotypeGemmArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
