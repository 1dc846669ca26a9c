/**
 * @file What a kernel of the CUDA backend is: one way to compute some ops, as plain data and pure functions.
 *
 * Values are f32, f16 or bf16, contiguous, and begin at multiples of 256 bytes (a range of a larger value: of 16). Sums are in
 * f32. Kernels must write their outputs whole, and nothing else.
 */

import {
  DEVICE_DTYPE_BYTES,
  inPlaceInput,
  inputsOf,
  nodesOf,
  type DeviceDType,
  type Node,
  type NodesOf,
  type OpKind,
  type ValueContext,
  type ValueId,
} from 'calotype/backend-kit';
import type { CudaLaunch } from './launch.ts';
import type { DeviceInfo } from './native.ts';

export { channelsOf, elementCount, rowsOf, type NodesOf } from 'calotype/backend-kit';

/** A layout of a weight. */
export interface WeightPacking {
  /** Names the layout with all its parameters: requests of a weight with equal keys share its bytes. */
  readonly key: string;
  /** Bytes of a packed weight of this shape. */
  bytes(shape: readonly number[], elementBytes: number): number;
  /** From `source`, row-major as torch has it but in the wanted type, to `packed`; absent if they are the same. */
  launch?(shape: readonly number[], element: number): CudaLaunch;
}

/** Numbers of eight bits that linear layers may be computed on. */
export type EightBits = 'int8' | 'fp8';

/** What a backend may round more than is usual, for speed. */
export interface Precision {
  /** What layers that passes/int8.ts marked are computed on. */
  readonly eightBits?: EightBits | undefined;
  /** What products of halves are summed in; default f32. */
  readonly accumulate?: 'f16' | undefined;
}

/** What a kernel may know of the node it is asked about; of the precision only while kernels are chosen. */
export interface CudaContext extends ValueContext, Precision {
  readonly device: DeviceInfo;
}

/** A kernel for nodes of the kinds `K`. */
export interface CudaKernelDefinition<K extends OpKind> {
  readonly id: string;
  readonly ops: readonly K[];
  /** Inputs that may be of another type than the output. All others, i32 aside, must have its type. */
  readonly otherTypes?: readonly string[];
  /** Whether it can run this node; the first kernel of the table that can is taken. */
  supports?(node: NodesOf<K>, context: CudaContext): boolean;
  /** Input that the output may overwrite. */
  inPlace?(node: NodesOf<K>): string | undefined;
  /** Bytes of its scratch ranges, which all its launches share. */
  scratchBytes?(node: NodesOf<K>, context: CudaContext): number[];
  /** How it wants weights laid out; those that are not named are row-major as stored. Activations are left out. */
  packing?(node: NodesOf<K>, context: CudaContext): Readonly<Record<string, WeightPacking>>;
  launches(node: NodesOf<K>, context: CudaContext): CudaLaunch[];
}

/** A kernel of the table, for nodes of any kind. */
export interface CudaKernel {
  readonly id: string;
  supports(node: Node, context: CudaContext): boolean;
  inPlace(node: Node, context: CudaContext): string | undefined;
  scratchBytes(node: Node, context: CudaContext): number[];
  packing(node: Node, context: CudaContext): Readonly<Record<string, WeightPacking>>;
  launches(node: Node, context: CudaContext): CudaLaunch[];
}

/** Makes a table entry of a definition, filling in what it leaves out. */
export function defineCudaKernel<K extends OpKind>(definition: CudaKernelDefinition<K>): CudaKernel {
  const { id, ops, otherTypes = [] } = definition;
  const { isOurs, ours } = nodesOf(id, ops);
  const typesFit = (node: Node, { dtypeOf }: CudaContext): boolean =>
    inputsOf(node).every(
      ([name, value]) =>
        otherTypes.includes(name) || dtypeOf(value) === 'i32' || dtypeOf(value) === dtypeOf(node.output),
    );
  return {
    id,
    supports: (node, context) =>
      isOurs(node) && typesFit(node, context) && (definition.supports?.(node, context) ?? true),
    inPlace: (node, context) => inPlaceInput(node, definition.inPlace?.(ours(node)), context),
    scratchBytes: (node, context) => definition.scratchBytes?.(ours(node), context) ?? [],
    packing: (node, context) => definition.packing?.(ours(node), context) ?? {},
    launches: (node, context) => definition.launches(ours(node), context),
  };
}

/** Whether a card runs the kernels of kernels/*_sm90.*, which no other architecture runs. */
export function isHopper({ major, minor }: DeviceInfo): boolean {
  return major === 9 && minor === 0;
}

/** Whether the elements of a value have 16 bits, as those that tensor cores multiply. */
export function isNarrow(context: CudaContext, value: ValueId): boolean {
  return DEVICE_DTYPE_BYTES[context.dtypeOf(value)] === 2;
}

/** CalotypeElement of kernels/calotype.h: types by their numbers. */
const ELEMENTS: readonly DeviceDType[] = ['f32', 'f16', 'bf16'];

/** The number by which kernels know an element type: the field `element` of most launches. */
export function elementCode(dtype: DeviceDType): number {
  return ELEMENTS.indexOf(dtype);
}

/** That of a value. */
export function elementOf(context: CudaContext, value: ValueId): number {
  return elementCode(context.dtypeOf(value));
}
