/**
 * @file What passes, kernel choice and the planner know of a backend: plain data and one pure function.
 */

import type { ValueId } from '../graph/op.ts';
import type { Node } from '../graph/ops.ts';
import type { DeviceDType, FloatDType } from '../tensor/dtype.ts';

/** Fusions that a target may be able to run; each is made by the pass of the same name in `passes/`. */
export const FUSIONS = [
  'bias',
  'time-embedding',
  'residual',
  'activation',
  'geglu',
  'qkv',
  'concat',
  'upsample',
  'guided-step',
] as const;

/** Name of a fusion. */
export type Fusion = (typeof FUSIONS)[number];

/** Shape and element type of a value on a device. */
export interface DeviceType {
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
}

/** The kernel that will run a node, chosen before memory is laid out because it may need scratch. */
export interface KernelChoice {
  /** Kernel id: the stem of its file in `shaders/` for WebGPU. */
  readonly kernel: string;
  /** Which of the kernel's variants, where it has several and one was chosen for this node. */
  readonly variant?: string;
  /** Bytes of each scratch range it needs while it runs. */
  readonly scratchBytes: readonly number[];
  /** Input that the output overwrites, if it dies here; one of the op's `inPlace` names. */
  readonly inPlace?: string;
}

/** A backend's abilities for one storage type. */
export interface Target {
  readonly name: string;
  /** How `float` values are stored; arithmetic accumulates in f32 on every target. */
  readonly dtype: FloatDType;
  /**
   * How stored filters, matrices and tables are held, by default as `dtype`: halves save memory where a device has no
   * f16 arithmetic, too. Vectors (biases, scales of norms) are always held as `dtype`.
   */
  readonly weightDtype?: FloatDType;
  /** Whether kernels take activations of several types in one node; false if absent. */
  readonly mixesTypes?: boolean;
  /** Alignment of a value's offset in its buffer, in bytes. */
  readonly alignment: number;
  /** Largest range one binding may cover, in bytes. */
  readonly maxBindingBytes: number;
  /** Largest single buffer, in bytes. */
  readonly maxBufferBytes: number;
  /** Whether a dispatch may read one range of a buffer and write another (WebGPU: no). */
  readonly mayReadAndWriteOneBuffer: boolean;
  /** Fusions that this target's kernels can run. */
  readonly fusions: ReadonlySet<Fusion>;
  /** Whether layers for which it pays may be computed on signed bytes, which changes results; see passes/int8.ts. */
  readonly int8?: 'dynamic';
  /** Picks the kernel for one of a plan's nodes, with concrete shapes; throws KernelError if there is none. */
  select(node: Node, typeOf: (value: ValueId) => DeviceType, nodes: readonly Node[]): KernelChoice;
}

/** The same device for networks that leave the range of halves: weights are held as they were, all else is f32. */
export function withF32Arithmetic(target: Target): Target {
  return { ...target, dtype: 'f32', weightDtype: target.weightDtype ?? target.dtype };
}
