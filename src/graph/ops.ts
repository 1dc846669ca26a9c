/**
 * @file The closed op set: one union and one table. Adding an op is a file in `ops/`, two lines here, its
 * reference in `backends/reference/ops/`, and cases in `test/cases/`.
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
};

/** Every op's types, by kind: what its definition defines. */
export type OpMap = {
  readonly [K in keyof typeof OPS]: (typeof OPS)[K] extends OpDefinition<infer Op> ? Op : never;
};

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
