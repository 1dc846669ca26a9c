/**
 * @file What a kernel is: one way to compute some ops, as plain data and pure functions.
 *
 * A kernel's file in `src/kernels/` has the stem of its shader in `shaders/`, which is also its id. What the model
 * fixes (channels, kernel sizes, epilogues) is a constant in the shader's text; what a request fixes (batch, height,
 * width, tokens) is a member of its `Dims` uniform, so that pictures of another size need no new pipelines.
 *
 * Buffers are bound by name: a shader's binding `x` is the node's input `x`, `y` its output, `scratch0` its first
 * scratch range and `dims` the uniforms. See wgsl.ts for what shaders may contain.
 */

import { inPlaceInput, nodesOf, type NodesOf, type ValueContext } from '../graph/kernel-table.ts';
import type { ValueId } from '../graph/op.ts';
import type { Node, OpKind } from '../graph/ops.ts';
import type { Price } from './cost.ts';
import type { MatrixShape } from './matrix-shape.ts';
import type { Packing } from './packing.ts';
import type { Constants } from './wgsl.ts';

export { channelsOf, rowsOf, type NodesOf } from '../graph/kernel-table.ts';
export { elementCount } from '../tensor/shape.ts';

/** What kernels ask of a device. Plain data, so that kernels can be chosen and checked without one. */
export interface DeviceTraits {
  /** Runs on the CPU (SwiftShader, lavapipe): barriers and workgroup memory are slow. */
  readonly software: boolean;
  readonly f16: boolean;
  /** Lanes in a subgroup, if subgroups are offered and always have this size; else 0. */
  readonly subgroupSize: number;
  /** Most lanes that a subgroup may have; 0 if there are none. */
  readonly largestSubgroup: number;
  /** Matrices that are offered, of those that kernels are written for, the best first; see matrix-shape.ts. */
  readonly subgroupMatrices: readonly MatrixShape[];
  /** Whether 16x16x32 subgroup matrices of i8 with i32 results are offered. */
  readonly int8Matrix: boolean;
  /** Whether WGSL has dot4I8Packed. */
  readonly packedDot: boolean;
  readonly maxWorkgroupsPerDimension: number;
  readonly maxWorkgroupStorageBytes: number;
  readonly maxInvocationsPerWorkgroup: number;
  readonly maxBindingBytes: number;
}

/** What a kernel may know of the node it is asked about. */
export interface KernelContext extends ValueContext {
  readonly traits: DeviceTraits;
  /** Name of the input whose place the output took; known when a plan is compiled. */
  readonly inPlace?: string | undefined;
  /** Which of the kernel's variants shall run; its own first choice where nothing was chosen. */
  readonly variant?: string | undefined;
  /** All nodes of the plan that is being made, for kernels that choose variants for many of them together. */
  readonly nodes?: readonly Node[] | undefined;
}

/** One dispatch of a kernel; most kernels need one, some several in a row. */
export interface Launch {
  /** Stem of the shader, for people and profiles. */
  readonly name: string;
  readonly source: string;
  readonly constants: Constants;
  /** Constants that are passed in `Dims`: where compiling a variant costs more than a constant gains. */
  readonly uniforms?: readonly string[];
  /** Values of the shader's `Dims`. */
  readonly dims: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
  /** Ranges of inputs, in bytes, where a launch binds less than the whole. */
  readonly ranges?: Readonly<Record<string, { readonly offset: number; readonly bytes: number }>>;
  /** Names of the shader's bindings that stand for an input under another name (bound with another element type). */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** A kernel for nodes of the kinds `K`. */
export interface KernelDefinition<K extends OpKind> {
  readonly id: string;
  readonly ops: readonly K[];
  /** Whether it can run this node on this device; the first kernel of the table that can is taken. */
  supports?(node: NodesOf<K>, context: KernelContext): boolean;
  /** Names of the ways in which it can run a node, which differ in speed alone; its own choice first. */
  variants?(node: NodesOf<K>, context: KernelContext): readonly string[];
  /** The work of its launches, padding included; only kernels whose variants are measured have one. */
  price?(node: NodesOf<K>, context: KernelContext): Price;
  /** Input that the output may overwrite. */
  inPlace?(node: NodesOf<K>): string | undefined;
  /** Bytes of its scratch ranges. */
  scratchBytes?(node: NodesOf<K>, context: KernelContext): number[];
  /** Inputs that it binds in parts, so that they may be larger than a binding. */
  readonly splits?: readonly string[];
  /** How it wants weights laid out; inputs that are not named stay as stored. */
  packing?(node: NodesOf<K>, context: KernelContext): Readonly<Record<string, Packing>>;
  launches(node: NodesOf<K>, context: KernelContext): Launch[];
}

/** A kernel of the table, for nodes of any kind. */
export interface Kernel {
  readonly id: string;
  readonly ops: readonly OpKind[];
  readonly splits: readonly string[];
  supports(node: Node, context: KernelContext): boolean;
  variants(node: Node, context: KernelContext): readonly string[];
  price(node: Node, context: KernelContext): Price | undefined;
  inPlace(node: Node, context: KernelContext): string | undefined;
  scratchBytes(node: Node, context: KernelContext): number[];
  packing(node: Node, context: KernelContext): Readonly<Record<string, Packing>>;
  launches(node: Node, context: KernelContext): Launch[];
}

/** Makes a table entry of a definition, filling in what it leaves out. */
export function defineKernel<K extends OpKind>(definition: KernelDefinition<K>): Kernel {
  const { id, ops } = definition;
  const { isOurs, ours } = nodesOf(id, ops);
  return {
    id,
    ops,
    splits: definition.splits ?? [],
    supports: (node, context) => isOurs(node) && (definition.supports?.(node, context) ?? true),
    variants: (node, context) => definition.variants?.(ours(node), context) ?? [],
    price: (node, context) => definition.price?.(ours(node), context),
    inPlace: (node, context) => inPlaceInput(node, definition.inPlace?.(ours(node)), context),
    scratchBytes: (node, context) => definition.scratchBytes?.(ours(node), context) ?? [],
    packing: (node, context) => definition.packing?.(ours(node), context) ?? {},
    launches: (node, context) => definition.launches(ours(node), context),
  };
}

/** Whether a weight is held as halves although activations are f32: shaders then unpack it without f16 arithmetic. */
export function isUnpacked(context: KernelContext, node: Node, weight: ValueId): boolean {
  return context.dtypeOf(weight) === 'f16' && context.dtypeOf(node.output) === 'f32';
}

/** Constants of lib/sum-lanes.wgsl. */
export interface ReductionConstants extends Constants {
  /** Lanes that share one reduction. */
  readonly LANES: number;
  /** Reductions a workgroup does. */
  readonly REDUCTIONS: number;
  readonly SUBGROUPS: boolean;
  readonly SUBGROUP_SIZE: number;
}

/** How reductions are shared out: a workgroup each, or a lane each on software adapters, where barriers cost most. */
export function reductionConstants({ software, subgroupSize }: DeviceTraits): ReductionConstants {
  if (software) return { LANES: 1, REDUCTIONS: 16, SUBGROUPS: false, SUBGROUP_SIZE: 1 };
  const subgroups = subgroupSize >= 4 && subgroupSize <= 64;
  return { LANES: 64, REDUCTIONS: 1, SUBGROUPS: subgroups, SUBGROUP_SIZE: subgroups ? subgroupSize : 1 };
}

/** Workgroups of a one-dimensional launch, folded into two dimensions where one may not hold them. */
export function fold(count: number, { maxWorkgroupsPerDimension }: DeviceTraits): [number, number, number] {
  const rows = Math.max(1, Math.ceil(count / maxWorkgroupsPerDimension));
  return [Math.max(1, Math.ceil(count / rows)), rows, 1];
}

/** Workgroups of 64 lanes each, folded likewise. */
export function foldLanes(lanes: number, traits: DeviceTraits): [number, number, number] {
  return fold(Math.ceil(lanes / 64), traits);
}
