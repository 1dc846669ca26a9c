/**
 * @file The table of CUDA kernels. Its order is the policy: the first kernel that supports a node runs it, so fast and picky
 * ones come before those that run anything.
 */

import { firstKernel, kernelWithId } from 'calotype/backend-kit';
import type { Node } from 'calotype/backend-kit';
import type { CudaContext, CudaKernel } from '../kernel.ts';
import type { LaunchType } from '../launch.ts';
import { attention, attentionBiased, attentionBiasedLaunch, attentionLaunch } from './attention.ts';
import { attentionOnline, attentionOnlineLaunch } from './attention-online.ts';
import { attentionF32, softmaxRowsLaunch } from './attention-f32.ts';
import { conv, convLaunch, convPadded } from './conv.ts';
import {
  activateLaunch,
  addGatedLaunch,
  addLaunch,
  addScaledLaunch,
  addVectorsLaunch,
  affineLaunch,
  elementwise,
  gegluLaunch,
  multiplyLaunch,
} from './elementwise.ts';
import { fourierFilter, fourierFilterLaunch } from './fourier-filter.ts';
import { groupNorm, groupNormLaunch, layerNorm, layerNormLaunch } from './fused-norms.ts';
import { gemm, gemmLaunch } from './gemm.ts';
import { gemmFp8, gemmInt8, quantizeRowsLaunch } from './gemm-eight-bits.ts';
import { gemmTiled, gemmTiledLaunch } from './gemm-tiled.ts';
import {
  groupNormApply,
  groupNormApplyLaunch,
  groupNormChunks,
  groupNormMomentsLaunch,
  groupNormStatisticsLaunch,
  groupNormStats,
} from './norms.ts';
import {
  convertWeightLaunch,
  packConvUpsampleLaunch,
  packFiltersLaunch,
  packGegluLaunch,
} from './packing.ts';
import { convF32, linearF32, packF32Launch, productF32Launch } from './product-f32.ts';
import { adaLayerNormLaunch, layerNormRowsLaunch, rmsNormLaunch, rowNorms } from './row-norms.ts';
import {
  copyChannels,
  copyChannelsLaunch,
  embedTokens,
  embedTokensLaunch,
  gatherRows,
  gatherRowsLaunch,
  padChannelsLaunch,
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
import { inHalves } from './tensor-core.ts';

/** All kernels, in order of preference. */
const CUDA_KERNELS: readonly CudaKernel[] = [
  gemmInt8,
  gemmFp8,
  ...[gemm, conv, convPadded].map(inHalves),
  gemm,
  conv,
  convPadded,
  linearF32,
  convF32,
  gemmTiled,
  attention,
  attentionBiased,
  attentionF32,
  attentionOnline,
  groupNorm,
  groupNormChunks,
  groupNormStats,
  groupNormApply,
  layerNorm,
  rowNorms,
  elementwise,
  copyChannels,
  poolMean,
  upsampleNearest,
  fourierFilter,
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
  adaLayerNormLaunch,
  addGatedLaunch,
  addLaunch,
  addScaledLaunch,
  addVectorsLaunch,
  affineLaunch,
  attentionLaunch,
  attentionBiasedLaunch,
  attentionOnlineLaunch,
  convLaunch,
  convertWeightLaunch,
  copyChannelsLaunch,
  embedTokensLaunch,
  fourierFilterLaunch,
  gatherRowsLaunch,
  gegluLaunch,
  gemmLaunch,
  gemmTiledLaunch,
  groupNormApplyLaunch,
  groupNormLaunch,
  groupNormMomentsLaunch,
  groupNormStatisticsLaunch,
  guidanceFactorLaunch,
  guidanceLaunch,
  guidedStepLaunch,
  layerNormLaunch,
  layerNormRowsLaunch,
  modelInputLaunch,
  multiplyLaunch,
  packConvUpsampleLaunch,
  packF32Launch,
  packFiltersLaunch,
  packGegluLaunch,
  padChannelsLaunch,
  poolMeanLaunch,
  productF32Launch,
  quantizeRowsLaunch,
  rmsNormLaunch,
  softmaxRowsLaunch,
  timestepEmbeddingLaunch,
  upsampleNearestLaunch,
];

/** The kernel that runs a node; throws KernelError naming the node if there is none. */
export function chooseKernel(node: Node, context: CudaContext): CudaKernel {
  return firstKernel('CUDA', CUDA_KERNELS, node, context);
}

/** The kernel with this id; throws KernelError naming the node if there is none. */
export function kernelById(id: string, node: Node): CudaKernel {
  return kernelWithId('CUDA', CUDA_KERNELS, id, node);
}
