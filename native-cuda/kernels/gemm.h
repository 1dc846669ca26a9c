/** @file Matrix product with the epilogues of the graph's `linear`: out = act(x * weight^T + bias + rows + residual). */
#pragma once
#include "calotype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalotypeGemmArgs {
  /** [m, k] f16 */
  const void *x;
  /** [n, k] f16, as torch stores it; for CALOTYPE_GEGLU packed by calotype_pack_geglu. */
  const void *weight;
  /** [n] f16 or null; packed likewise for CALOTYPE_GEGLU. */
  const void *bias;
  /** [m, nOut] f16 or null, added before the activation; may be `out` itself. */
  const void *residual;
  /** [m, nOut] f16, where nOut is n / 2 for CALOTYPE_GEGLU, else n. */
  void *out;
  /** k is a multiple of 8, n of 16 for CALOTYPE_GEGLU; other n need not be of 8, but are quicker so. */
  int32_t m, n, k;
  /** CalotypeActivation. */
  int32_t activation;
  /** CalotypeFlags. */
  int32_t flags;
  /** -1: the measured choice for this shape; otherwise one of 0 .. calotype_gemm_configs() - 1, for tuning. */
  int32_t config;
} CalotypeGemmArgs;

/** Launches one kernel. CALOTYPE_UNSUPPORTED if `config` cannot do this shape. */
int calotype_gemm(const CalotypeGemmArgs *args, cudaStream_t stream);

/** Number of configurations, the same for calotype_conv. */
int calotype_gemm_configs(void);

/** The configuration that -1 stands for on this device. */
int calotype_gemm_choice(const CalotypeGemmArgs *args);

#ifdef __cplusplus
}
#endif
