/**
 * @file The table of CPU kernels. Its order is the policy: the first kernel that supports a node runs it, so fast and
 * picky ones come before those that run anything.
 */

import { firstKernel, kernelWithId } from '../../../graph/kernel-table.ts';
import type { Node } from '../../../graph/ops.ts';
import type { CpuContext, CpuKernel } from '../kernel.ts';
import { adaLayerNorm } from './ada-layer-norm.ts';
import { addGated } from './add-gated.ts';
import { addScaled } from './add-scaled.ts';
import { attentionPlain } from './attention-plain.ts';
import { attention } from './attention.ts';
import { copyRows } from './copy-rows.ts';
import { elementwise } from './elementwise.ts';
import { embedTokens } from './embed-tokens.ts';
import { fourierFilter } from './fourier-filter.ts';
import { gatherRows } from './gather-rows.ts';
import { geglu } from './geglu.ts';
import { gemm } from './gemm.ts';
import { groupNormApply } from './group-norm-apply.ts';
import { groupNormStats } from './group-norm-stats.ts';
import { groupNorm } from './group-norm.ts';
import { guidance } from './guidance.ts';
import { guidedStep } from './guided-step.ts';
import { layerNorm } from './layer-norm.ts';
import { modelInput } from './model-input.ts';
import { poolMean } from './pool-mean.ts';
import { rmsNorm } from './rms-norm.ts';
import { timestepEmbedding } from './timestep-embedding.ts';
import { upsampleNearest } from './upsample-nearest.ts';
import { winograd } from './winograd.ts';

/** All kernels, in order of preference. */
const CPU_KERNELS: readonly CpuKernel[] = [
  winograd,
  gemm,
  attention,
  attentionPlain,
  groupNorm,
  groupNormStats,
  groupNormApply,
  layerNorm,
  adaLayerNorm,
  rmsNorm,
  elementwise,
  addGated,
  addScaled,
  poolMean,
  geglu,
  copyRows,
  upsampleNearest,
  fourierFilter,
  gatherRows,
  embedTokens,
  timestepEmbedding,
  modelInput,
  guidance,
  guidedStep,
];

/** The kernel that runs a node; throws KernelError naming the node if there is none. */
export function chooseKernel(node: Node, context: CpuContext): CpuKernel {
  return firstKernel('CPU', CPU_KERNELS, node, context);
}

/** The kernel with this id; throws KernelError naming the node if there is none. */
export function kernelById(id: string, node: Node): CpuKernel {
  return kernelWithId('CPU', CPU_KERNELS, id, node);
}
