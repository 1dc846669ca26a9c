/** @file The WebGPU backend's target: what passes, kernel choice and the planner know of a device. */

import { KernelError } from '../../errors.ts';
import type { ValueId, ValueType } from '../../graph/op.ts';
import { inputsOf, type Node } from '../../graph/ops.ts';
import { chooseKernel } from '../../kernels/index.ts';
import { elementCount, type DeviceTraits, type KernelContext } from '../../kernels/kernel.ts';
import { FUSIONS, type Target } from '../../plan/target.ts';
import { DEVICE_DTYPE_BYTES } from '../../tensor/dtype.ts';
import { concrete } from '../../tensor/shape.ts';

/** Sizes that limit plans. */
export interface MemoryLimits {
  readonly alignment: number;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
}

/** What kernels may know of nodes whose values have these types; `float` values are stored as `dtype`. */
export function contextOf(
  traits: DeviceTraits,
  dtype: 'f32' | 'f16',
  typeOf: (value: ValueId) => ValueType,
): KernelContext {
  return {
    traits,
    shapeOf: (value) => concrete(typeOf(value).shape),
    dtypeOf(value) {
      const own = typeOf(value).dtype;
      return own === 'float' ? dtype : own;
    },
  };
}

/** Name of the targets for a storage type: plans made for one may be compiled on any WebGPU device with its kernels. */
export function targetName(dtype: 'f32' | 'f16'): string {
  return `webgpu-${dtype}`;
}

/** The target of a device for a storage type. */
export function createTarget(dtype: 'f32' | 'f16', traits: DeviceTraits, limits: MemoryLimits): Target {
  return {
    name: targetName(dtype),
    dtype,
    ...limits,
    mayReadAndWriteOneBuffer: false,
    fusions: new Set(FUSIONS),
    select(node, typeOf) {
      const context = contextOf(traits, dtype, typeOf);
      const kernel = chooseKernel(node, context);
      checkBindings(node, context, kernel.splits, limits);
      const scratchBytes = kernel.scratchBytes(node, context);
      for (const bytes of scratchBytes) checkBytes(bytes, 'scratch', node, limits);
      const inPlace = kernel.inPlace(node, context);
      return { kernel: kernel.id, scratchBytes, ...(inPlace === undefined ? {} : { inPlace }) };
    },
  };
}

/** Every value must fit one binding, unless its kernel binds it in parts; passes/split-large.ts has cut what can be cut. */
function checkBindings(
  node: Node,
  context: KernelContext,
  splits: readonly string[],
  limits: MemoryLimits,
): void {
  const whole = inputsOf(node).filter(([name]) => !splits.includes(name));
  const values: [string, ValueId][] = [...whole, ['output', node.output]];
  for (const [name, value] of values)
    checkBytes(
      elementCount(context.shapeOf(value)) * DEVICE_DTYPE_BYTES[context.dtypeOf(value)],
      name,
      node,
      limits,
    );
}

function checkBytes(bytes: number, name: string, node: Node, { maxBindingBytes }: MemoryLimits): void {
  if (bytes <= maxBindingBytes) return;
  throw new KernelError(
    `${name} takes ${bytes} bytes, and this device binds at most ${maxBindingBytes} at a time`,
    {
      field: node.name,
      remedy: 'Use a smaller size or batch, 16-bit weights, or a device with larger bindings',
    },
  );
}
