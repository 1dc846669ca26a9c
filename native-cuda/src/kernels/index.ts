/**
 * @file The table of CUDA kernels. Its order is the policy: the first kernel that supports a node runs it, so fast and picky
 * ones come before those that run anything.
 */

import { KernelError } from 'calotype';
import type { Node } from 'calotype/backend-kit';
import type { CudaContext, CudaKernel } from '../kernel.ts';
import type { LaunchType } from '../launch.ts';
import { attentionOnline, attentionOnlineLaunch } from './attention-online.ts';
import {
  activateLaunch,
  addLaunch,
  addScaledLaunch,
  addVectorsLaunch,
  affineLaunch,
  elementwise,
  gegluLaunch,
} from './elementwise.ts';
import { gemmTiled, gemmTiledLaunch } from './gemm-tiled.ts';
import {
  groupNorm,
  groupNormApply,
  groupNormApplyLaunch,
  groupNormMomentsLaunch,
  groupNormStatisticsLaunch,
  groupNormStats,
  layerNorm,
  layerNormLaunch,
} from './norms.ts';
import { convertWeightLaunch, packFiltersLaunch } from './packing.ts';
import {
  copyChannels,
  copyChannelsLaunch,
  embedTokens,
  embedTokensLaunch,
  gatherRows,
  gatherRowsLaunch,
  poolMean,
  poolMeanLaunch,
  upsampleNearest,
  upsampleNearestLaunch,
} from './rows.ts';
import {
  guidance,
  guidanceFactorLaunch,
  guidanceLaunch,
  guidedStep,
  guidedStepLaunch,
  modelInput,
  modelInputLaunch,
  timestepEmbedding,
  timestepEmbeddingLaunch,
} from './sampling.ts';

/** All kernels, in order of preference. */
const CUDA_KERNELS: readonly CudaKernel[] = [
  gemmTiled,
  attentionOnline,
  groupNorm,
  groupNormStats,
  groupNormApply,
  layerNorm,
  elementwise,
  copyChannels,
  poolMean,
  upsampleNearest,
  gatherRows,
  embedTokens,
  timestepEmbedding,
  modelInput,
  guidance,
  guidedStep,
];

/** Everything of the native half that kernels and packings launch. */
export const LAUNCH_TYPES: readonly LaunchType[] = [
  activateLaunch,
  addLaunch,
  addScaledLaunch,
  addVectorsLaunch,
  affineLaunch,
  attentionOnlineLaunch,
  convertWeightLaunch,
  copyChannelsLaunch,
  embedTokensLaunch,
  gatherRowsLaunch,
  gegluLaunch,
  gemmTiledLaunch,
  groupNormApplyLaunch,
  groupNormMomentsLaunch,
  groupNormStatisticsLaunch,
  guidanceFactorLaunch,
  guidanceLaunch,
  guidedStepLaunch,
  layerNormLaunch,
  modelInputLaunch,
  packFiltersLaunch,
  poolMeanLaunch,
  timestepEmbeddingLaunch,
  upsampleNearestLaunch,
];

/** The kernel that runs a node; throws KernelError naming the node if there is none. */
export function chooseKernel(node: Node, context: CudaContext): CudaKernel {
  const kernel = CUDA_KERNELS.find((candidate) => candidate.supports(node, context));
  if (kernel) return kernel;
  throw new KernelError(`no CUDA kernel computes this ${node.kind}`, {
    field: node.name,
    remedy: 'Run the model on another backend, and report its configuration',
  });
}

/** The kernel with this id; throws KernelError naming the node if there is none. */
export function kernelById(id: string, node: Node): CudaKernel {
  const kernel = CUDA_KERNELS.find((candidate) => candidate.id === id);
  if (kernel) return kernel;
  throw new KernelError(`there is no CUDA kernel "${id}"`, {
    field: node.name,
    remedy: 'Plan for the target of the backend that compiles',
  });
}
