/**
 * @file The plan: a graph with concrete shapes, a kernel for every node and a place for every value. Plain data,
 * so that it can be printed, cached and sent to a worker.
 */

import type { ValueId } from '../graph/op.ts';
import type { GraphInput, GraphOutput, Weight } from '../graph/graph.ts';
import type { Node } from '../graph/ops.ts';
import type { PassReport } from '../passes/pass.ts';
import type { DeviceDType, FloatDType } from '../tensor/dtype.ts';

/** Where a value's bytes are; offsets are in bytes. Views share their source's place, in-place results the place they overwrite. */
export type Place =
  | { readonly kind: 'arena'; readonly buffer: number; readonly offset: number }
  | { readonly kind: 'weight'; readonly index: number; readonly offset: number }
  /** A tensor of its own that outlives a run: an input, an output or a state, by the name given in `tensors`. */
  | { readonly kind: 'external'; readonly tensor: string; readonly offset: number };

/** A value with everything about it decided. */
export interface PlannedValue {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  readonly bytes: number;
  readonly place: Place;
}

/** One kernel launch. */
export interface PlannedDispatch {
  readonly node: Node;
  readonly kernel: string;
  /** Which of the kernel's variants; its own choice if undefined. */
  readonly variant?: string;
  readonly scratch: readonly { readonly bytes: number; readonly place: Place }[];
  /** Name of the input whose place the output took. */
  readonly inPlace?: string;
}

/** A tensor that outlives a run. */
export interface ExternalTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  readonly bytes: number;
}

/** Bytes of activations. */
export interface MemoryReport {
  /** Every value in a range of its own. */
  readonly unplannedBytes: number;
  /** The most that is alive at once: no layout can be smaller. */
  readonly largestLiveSetBytes: number;
  /** What the plan allocates. */
  readonly arenaBytes: number;
}

/** A program ready to be compiled by the backend whose target it was made for. */
export interface Plan {
  readonly name: string;
  readonly target: string;
  /** How activations are stored; each value's own type is in `values`. */
  readonly dtype: FloatDType;
  readonly values: ReadonlyMap<ValueId, PlannedValue>;
  readonly dispatches: readonly PlannedDispatch[];
  readonly inputs: readonly GraphInput[];
  readonly outputs: readonly GraphOutput[];
  readonly weights: readonly Weight[];
  readonly tensors: readonly ExternalTensor[];
  /** Bytes of each arena buffer. */
  readonly arena: readonly number[];
  readonly memory: MemoryReport;
  readonly passes: readonly PassReport[];
}
