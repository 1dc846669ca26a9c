/** @file The snippets of `shaders/lib/` that shaders may include, by the name they include them under. */

import activation from '../../shaders/lib/activation.wgsl';
import attentionBias from '../../shaders/lib/attention-bias.wgsl';
import attentionWeights from '../../shaders/lib/attention-on-matrices.wgsl';
import epilogue from '../../shaders/lib/epilogue.wgsl';
import flat from '../../shaders/lib/flat.wgsl';
import gemmFinish from '../../shaders/lib/gemm-finish.wgsl';
import gemmSource from '../../shaders/lib/gemm-source.wgsl';
import groupNormSource from '../../shaders/lib/group-norm-source.wgsl';
import loadVec4 from '../../shaders/lib/load-vec4.wgsl';
import partialSum from '../../shaders/lib/partial-sum.wgsl';
import sinCos from '../../shaders/lib/sin-cos.wgsl';
import sumLanes from '../../shaders/lib/sum-lanes.wgsl';

/** Text by name. */
export const LIBRARY: Readonly<Record<string, string>> = {
  'lib/activation.wgsl': activation,
  'lib/attention-bias.wgsl': attentionBias,
  'lib/attention-on-matrices.wgsl': attentionWeights,
  'lib/epilogue.wgsl': epilogue,
  'lib/flat.wgsl': flat,
  'lib/gemm-finish.wgsl': gemmFinish,
  'lib/gemm-source.wgsl': gemmSource,
  'lib/group-norm-source.wgsl': groupNormSource,
  'lib/load-vec4.wgsl': loadVec4,
  'lib/partial-sum.wgsl': partialSum,
  'lib/sin-cos.wgsl': sinCos,
  'lib/sum-lanes.wgsl': sumLanes,
};
