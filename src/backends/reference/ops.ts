/** @file The reference of every op, and how a node is computed. */

import { inputsOf, type Node, type NodeOf, type OpKind, type OpMap } from '../../graph/ops.ts';
import type { ValueId } from '../../graph/op.ts';
import type { Data, ReferenceOp, Tensor } from './op.ts';
import { activate } from './ops/activate.ts';
import { adaLayerNorm } from './ops/ada-layer-norm.ts';
import { add } from './ops/add.ts';
import { addBias } from './ops/add-bias.ts';
import { addGated } from './ops/add-gated.ts';
import { addRows } from './ops/add-rows.ts';
import { addScaled } from './ops/add-scaled.ts';
import { affine } from './ops/affine.ts';
import { attention } from './ops/attention.ts';
import { concat } from './ops/concat.ts';
import { conv2d } from './ops/conv2d.ts';
import { embedTokens } from './ops/embed-tokens.ts';
import { fourierFilter } from './ops/fourier-filter.ts';
import { gatherRows } from './ops/gather-rows.ts';
import { geglu } from './ops/geglu.ts';
import { groupNorm } from './ops/group-norm.ts';
import { groupNormApply } from './ops/group-norm-apply.ts';
import { groupNormStats } from './ops/group-norm-stats.ts';
import { guidance } from './ops/guidance.ts';
import { guidanceFactor } from './ops/guidance-factor.ts';
import { guidedStep } from './ops/guided-step.ts';
import { join } from './ops/join.ts';
import { layerNorm } from './ops/layer-norm.ts';
import { linear } from './ops/linear.ts';
import { modelInput } from './ops/model-input.ts';
import { multiply } from './ops/multiply.ts';
import { poolMean } from './ops/pool-mean.ts';
import { reshape } from './ops/reshape.ts';
import { rmsNorm } from './ops/rms-norm.ts';
import { schedulerStep } from './ops/scheduler-step.ts';
import { selectToken } from './ops/select-token.ts';
import { sliceChannels } from './ops/slice-channels.ts';
import { timestepEmbedding } from './ops/timestep-embedding.ts';
import { upsampleNearest } from './ops/upsample-nearest.ts';
import { window } from './ops/window.ts';

/** The reference of each op kind. */
const REFERENCE_OPS: { readonly [K in OpKind]: ReferenceOp<OpMap[K]> } = {
  activate,
  adaLayerNorm,
  add,
  addBias,
  addGated,
  addRows,
  addScaled,
  affine,
  attention,
  concat,
  conv2d,
  embedTokens,
  fourierFilter,
  gatherRows,
  geglu,
  groupNorm,
  groupNormApply,
  groupNormStats,
  guidance,
  guidanceFactor,
  guidedStep,
  join,
  layerNorm,
  linear,
  modelInput,
  multiply,
  poolMean,
  reshape,
  rmsNorm,
  schedulerStep,
  selectToken,
  sliceChannels,
  timestepEmbedding,
  upsampleNearest,
  window,
};

/** The elements of a node's output, of the concrete shape `output`. */
export function computeNode(
  node: Node,
  tensorOf: (value: ValueId) => Tensor,
  output: readonly number[],
): Data {
  return compute(node, Object.fromEntries(inputsOf(node).map(([name, id]) => [name, tensorOf(id)])), output);
}

function compute<K extends OpKind>(
  node: NodeOf<K>,
  inputs: Record<string, Tensor>,
  output: readonly number[],
): Data {
  const reference = REFERENCE_OPS[node.kind];
  // The keys of `inputs` are those of node.inputs.
  return reference(inputs as Parameters<ReferenceOp<OpMap[K]>>[0], node.attrs, output);
}
