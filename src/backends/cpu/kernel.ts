/**
 * @file What a kernel of the CPU backend is: one way to compute some ops, as plain data and pure functions.
 *
 * A kernel's file in `kernels/` has the stem of its source in `wasm/`, which is also its id. Every WebAssembly kernel
 * is an export `(args: usize, task: i32, scratch: usize) => void`: `args` is the address of consecutive 4-byte slots,
 * `task` says which of the launch's independent tasks to do, and `scratch` is 256 KiB of the thread's own, aligned to
 * 64 bytes. An output element is computed by one task, in a fixed order of operations, so results do not depend on the
 * number of threads. Launches run one after the other.
 *
 * Activations are f32, contiguous, and begin at multiples of 64 bytes. Buffers may be followed by other data: kernels
 * must not write past a value's end, and may read at most 16 bytes past it.
 */

import { inPlaceInput, nodesOf, type NodesOf, type ValueContext } from '../../graph/kernel-table.ts';
import type { Node, OpKind } from '../../graph/ops.ts';

export { channelsOf, rowsOf, type NodesOf } from '../../graph/kernel-table.ts';
export { elementCount } from '../../tensor/shape.ts';

/** Bytes of scratch that every thread has. */
export const THREAD_SCRATCH_BYTES = 256 * 1024;

/** Alignment of all values, packed weights, scratch and constants, in bytes. */
export const ALIGNMENT = 64;

/** Element types that WebAssembly reads; weights of other stored types become F32 before they are packed. */
export const WEIGHT_TYPES = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const;

/** Name of such a type; `weightTypeCode` gives its number in kernels' arguments. */
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** Bytes of one element. */
export const WEIGHT_TYPE_BYTES: Readonly<Record<WeightType, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

/** The number by which kernels know a type (wasm/lib/weight-type.ts). */
export function weightTypeCode(type: WeightType): number {
  return WEIGHT_TYPES.indexOf(type);
}

/**
 * One argument slot: an i32, an f32, the address of constant data, or the address of an operand: an input's name, `y`
 * for the output, `scratch0`, `scratch1`, ... for the kernel's scratch ranges. An input that the node does not have is
 * address 0. An input with a packing stands for its packed bytes.
 */
export type Argument =
  | number
  | { readonly f32: number }
  | { readonly data: Float32Array | Int32Array }
  | string
  | { readonly operand: string; readonly offsetBytes: number };

/** One call of an export for each task; a node needs one or several in a row. */
export interface CpuLaunch {
  /** Name of the export, unique among all kernels; profiles show it. */
  readonly name: string;
  /** Number of independent tasks; some dozens a thread balance well, and a task should take 20 us or more. */
  readonly tasks: number;
  readonly args: readonly Argument[];
}

/** Some rows (of the first axis) of a stored weight that are to be packed. */
export interface StoredRows {
  /** Type of the stored elements, and of the packed ones where the packing keeps it. */
  readonly type: WeightType;
  /** Shape of the whole weight, as torch has it; parts (fused QKV) are stacked along its first axis. */
  readonly shape: readonly number[];
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * A layout of a weight. The weight store puts the stored bytes of one part after the other in a temporary range, and
 * runs the packing's launches, whose operands are `source` (the part's rows) and `packed` (the whole packed weight,
 * zeros at first).
 */
export interface WeightPacking {
  /** Names the layout with all its parameters: requests of a weight with equal keys share its bytes. */
  readonly key: string;
  /** Bytes of a packed weight of this shape. */
  bytes(shape: readonly number[], type: WeightType): number;
  launches(part: StoredRows): CpuLaunch[];
}

/** What a kernel may know of the node it is asked about. */
export type CpuContext = ValueContext;

/** What it knows besides when a plan is compiled. */
export interface CpuLaunchContext extends CpuContext {
  /** Name of the input whose place the output took. */
  readonly inPlace: string | undefined;
  /** Stored type of an input for which the kernel named a packing. */
  weightType(input: string): WeightType;
}

/** A kernel for nodes of the kinds `K`. */
export interface CpuKernelDefinition<K extends OpKind> {
  readonly id: string;
  readonly ops: readonly K[];
  /** Whether it can run this node; the first kernel of the table that can is taken. */
  supports?(node: NodesOf<K>, context: CpuContext): boolean;
  /** Input that the output may overwrite. */
  inPlace?(node: NodesOf<K>): string | undefined;
  /** Bytes of its scratch ranges, which all its launches and tasks share. */
  scratchBytes?(node: NodesOf<K>, context: CpuContext): number[];
  /** How it wants weights laid out; those that are not named become plain f32. Activations are left out. */
  packing?(node: NodesOf<K>, context: CpuContext): Readonly<Record<string, WeightPacking>>;
  launches(node: NodesOf<K>, context: CpuLaunchContext): CpuLaunch[];
}

/** A kernel of the table, for nodes of any kind. */
export interface CpuKernel {
  readonly id: string;
  readonly ops: readonly OpKind[];
  supports(node: Node, context: CpuContext): boolean;
  inPlace(node: Node, context: CpuContext): string | undefined;
  scratchBytes(node: Node, context: CpuContext): number[];
  packing(node: Node, context: CpuContext): Readonly<Record<string, WeightPacking>>;
  launches(node: Node, context: CpuLaunchContext): CpuLaunch[];
}

/** Makes a table entry of a definition, filling in what it leaves out. */
export function defineCpuKernel<K extends OpKind>(definition: CpuKernelDefinition<K>): CpuKernel {
  const { id, ops } = definition;
  const { isOurs, ours } = nodesOf(id, ops);
  return {
    id,
    ops,
    supports: (node, context) => isOurs(node) && (definition.supports?.(node, context) ?? true),
    inPlace: (node, context) => inPlaceInput(node, definition.inPlace?.(ours(node)), context),
    scratchBytes: (node, context) => definition.scratchBytes?.(ours(node), context) ?? [],
    packing: (node, context) => definition.packing?.(ours(node), context) ?? {},
    launches: (node, context) => definition.launches(ours(node), context),
  };
}
