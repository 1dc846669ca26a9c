/** @file All cases of all ops: one table for correctness, benchmarks and the support matrix. */

import type { OpKind } from '../../src/graph/ops.ts';
import { attentionCases } from './attention.ts';
import type { CaseOf, OpCase } from './case.ts';
import { conv2dCases } from './conv2d.ts';
import {
  activateCases,
  addBiasCases,
  addCases,
  addGatedCases,
  addRowsCases,
  addScaledCases,
  affineCases,
  fourierFilterCases,
  gegluCases,
  multiplyCases,
  poolMeanCases,
} from './elementwise.ts';
import { embedTokensCases, gatherRowsCases, selectTokenCases, timestepEmbeddingCases } from './embedding.ts';
import {
  concatCases,
  joinCases,
  reshapeCases,
  sliceChannelsCases,
  upsampleNearestCases,
  windowCases,
} from './layout.ts';
import { linearCases } from './linear.ts';
import {
  adaLayerNormCases,
  groupNormApplyCases,
  groupNormCases,
  groupNormStatsCases,
  layerNormCases,
  rmsNormCases,
} from './norms.ts';
import {
  guidanceCases,
  guidanceFactorCases,
  guidedStepCases,
  modelInputCases,
  schedulerStepCases,
} from './sampling.ts';

/** Cases by op; an op without cases does not compile. */
const CASES = {
  activate: activateCases,
  adaLayerNorm: adaLayerNormCases,
  add: addCases,
  addBias: addBiasCases,
  addGated: addGatedCases,
  addRows: addRowsCases,
  addScaled: addScaledCases,
  affine: affineCases,
  attention: attentionCases,
  concat: concatCases,
  conv2d: conv2dCases,
  embedTokens: embedTokensCases,
  gatherRows: gatherRowsCases,
  fourierFilter: fourierFilterCases,
  geglu: gegluCases,
  groupNorm: groupNormCases,
  groupNormApply: groupNormApplyCases,
  groupNormStats: groupNormStatsCases,
  guidance: guidanceCases,
  guidanceFactor: guidanceFactorCases,
  guidedStep: guidedStepCases,
  join: joinCases,
  layerNorm: layerNormCases,
  linear: linearCases,
  modelInput: modelInputCases,
  multiply: multiplyCases,
  poolMean: poolMeanCases,
  reshape: reshapeCases,
  rmsNorm: rmsNormCases,
  schedulerStep: schedulerStepCases,
  selectToken: selectTokenCases,
  sliceChannels: sliceChannelsCases,
  timestepEmbedding: timestepEmbeddingCases,
  upsampleNearest: upsampleNearestCases,
  window: windowCases,
} satisfies { readonly [K in OpKind]: readonly CaseOf<K>[] };

/** Every case. */
const ALL_CASES: readonly OpCase[] = Object.values(CASES).flat();

/** Cases for correctness tests. */
export const TEST_CASES: readonly OpCase[] = ALL_CASES.filter((testCase) => !testCase.bench);

/** Cases with the shapes of real models, for benchmarks. */
export const BENCH_CASES: readonly OpCase[] = ALL_CASES.filter((testCase) => testCase.bench);
