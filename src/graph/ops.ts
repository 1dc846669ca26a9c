/**
 * @file The closed op set: one union and one table. Adding an op is a file in `ops/`, two lines here, its
 * reference in `backends/reference/ops/` and a case table in `test/cases/`.
 */

import {
  checkDtype,
  type InputTypes,
  type OpDefinition,
  type OpTypes,
  type ValueId,
  type ValueType,
} from './op.ts';
import { sizeOf, type Dim } from '../tensor/shape.ts';
import { activate, type ActivateOp } from './ops/activate.ts';
import { adaLayerNorm, type AdaLayerNormOp } from './ops/ada-layer-norm.ts';
import { add, type AddOp } from './ops/add.ts';
import { addBias, type AddBiasOp } from './ops/add-bias.ts';
import { addGated, type AddGatedOp } from './ops/add-gated.ts';
import { addRows, type AddRowsOp } from './ops/add-rows.ts';
import { addScaled, type AddScaledOp } from './ops/add-scaled.ts';
import { affine, type AffineOp } from './ops/affine.ts';
import { attention, type AttentionOp } from './ops/attention.ts';
import { concat, type ConcatOp } from './ops/concat.ts';
import { conv2d, type Conv2dOp } from './ops/conv2d.ts';
import { embedTokens, type EmbedTokensOp } from './ops/embed-tokens.ts';
import { fourierFilter, type FourierFilterOp } from './ops/fourier-filter.ts';
import { gatherRows, type GatherRowsOp } from './ops/gather-rows.ts';
import { geglu, type GegluOp } from './ops/geglu.ts';
import { groupNorm, type GroupNormOp } from './ops/group-norm.ts';
import { groupNormApply, type GroupNormApplyOp } from './ops/group-norm-apply.ts';
import { groupNormStats, type GroupNormStatsOp } from './ops/group-norm-stats.ts';
import { guidance, type GuidanceOp } from './ops/guidance.ts';
import { guidanceFactor, type GuidanceFactorOp } from './ops/guidance-factor.ts';
import { guidedStep, type GuidedStepOp } from './ops/guided-step.ts';
import { join, type JoinOp } from './ops/join.ts';
import { layerNorm, type LayerNormOp } from './ops/layer-norm.ts';
import { linear, type LinearOp } from './ops/linear.ts';
import { modelInput, type ModelInputOp } from './ops/model-input.ts';
import { multiply, type MultiplyOp } from './ops/multiply.ts';
import { poolMean, type PoolMeanOp } from './ops/pool-mean.ts';
import { reshape, type ReshapeOp } from './ops/reshape.ts';
import { rmsNorm, type RmsNormOp } from './ops/rms-norm.ts';
import { schedulerStep, type SchedulerStepOp } from './ops/scheduler-step.ts';
import { selectToken, type SelectTokenOp } from './ops/select-token.ts';
import { sliceChannels, type SliceChannelsOp } from './ops/slice-channels.ts';
import { timestepEmbedding, type TimestepEmbeddingOp } from './ops/timestep-embedding.ts';
import { upsampleNearest, type UpsampleNearestOp } from './ops/upsample-nearest.ts';
import { window, type WindowOp } from './ops/window.ts';

/** Every op's types, by kind. */
export interface OpMap {
  activate: ActivateOp;
  adaLayerNorm: AdaLayerNormOp;
  add: AddOp;
  addBias: AddBiasOp;
  addGated: AddGatedOp;
  addRows: AddRowsOp;
  addScaled: AddScaledOp;
  affine: AffineOp;
  attention: AttentionOp;
  concat: ConcatOp;
  conv2d: Conv2dOp;
  embedTokens: EmbedTokensOp;
  fourierFilter: FourierFilterOp;
  gatherRows: GatherRowsOp;
  geglu: GegluOp;
  groupNorm: GroupNormOp;
  groupNormApply: GroupNormApplyOp;
  groupNormStats: GroupNormStatsOp;
  guidance: GuidanceOp;
  guidanceFactor: GuidanceFactorOp;
  guidedStep: GuidedStepOp;
  join: JoinOp;
  layerNorm: LayerNormOp;
  linear: LinearOp;
  modelInput: ModelInputOp;
  multiply: MultiplyOp;
  poolMean: PoolMeanOp;
  reshape: ReshapeOp;
  rmsNorm: RmsNormOp;
  schedulerStep: SchedulerStepOp;
  selectToken: SelectTokenOp;
  sliceChannels: SliceChannelsOp;
  timestepEmbedding: TimestepEmbeddingOp;
  upsampleNearest: UpsampleNearestOp;
  window: WindowOp;
}

/** Name of an op. */
export type OpKind = keyof OpMap;

/** A node of one op kind. */
export type NodeOf<K extends OpKind> = {
  readonly kind: K;
  /** Where it comes from, for people: the weight path in the model file. */
  readonly name: string;
  readonly inputs: OpMap[K]['inputs'];
  readonly attrs: OpMap[K]['attrs'];
  readonly output: ValueId;
};

/** A node of any kind; `switch (node.kind)` narrows it. */
export type Node = { readonly [K in OpKind]: NodeOf<K> }[OpKind];

/** Definition of every op. */
export const OPS = {
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
} satisfies { readonly [K in OpKind]: OpDefinition<OpMap[K]> };

/** The definition of a kind, for code that treats all ops alike. */
export function definitionOf(kind: OpKind): OpDefinition<OpTypes> {
  return OPS[kind];
}

/** The inputs of a node as [name, value] pairs, in the order they were given. */
export function inputsOf(node: Node): [string, ValueId][] {
  return Object.entries<ValueId>(node.inputs);
}

/** The types of a node's inputs, by name. */
export function inputTypes(node: Node, typeOf: (value: ValueId) => ValueType): InputTypes<OpTypes> {
  return Object.fromEntries(inputsOf(node).map(([name, value]) => [name, typeOf(value)]));
}

/** Type of an op's output; throws GraphError when the inputs' element types or shapes do not fit. */
export function inferOp(kind: OpKind, inputs: InputTypes<OpTypes>, attrs: object): ValueType {
  const { dtypes, isView, infer } = definitionOf(kind);
  for (const [name, type] of Object.entries(inputs))
    checkDtype(name, type, dtypes?.[name] ?? (isView ? 'any' : 'real'));
  return infer(inputs, attrs);
}

/** Type of a node's output; throws GraphError as `inferOp` does. */
export function inferNode(node: Node, typeOf: (value: ValueId) => ValueType): ValueType {
  return inferOp(node.kind, inputTypes(node, typeOf), node.attrs);
}

/** Floating-point operations of a node; a multiply-add counts 2. */
export function flopsOf(node: Node, typeOf: (value: ValueId) => ValueType): Dim {
  const output = typeOf(node.output);
  const { flops } = definitionOf(node.kind);
  return flops ? flops(inputTypes(node, typeOf), node.attrs, output) : sizeOf(output.shape);
}

/** Bytes that a node must read and write at least once, given those of each value. */
export function bytesMoved(node: Node, bytesOf: (value: ValueId) => number): number {
  if (definitionOf(node.kind).isView) return 0;
  const values = new Set([...inputsOf(node).map(([, value]) => value), node.output]);
  return [...values].reduce((sum, value) => sum + bytesOf(value), 0);
}
