/** @file The WebGPU backend's target: what passes, kernel choice and the planner know of a device. */

import { KernelError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import { inputsOf, type Node } from '../../graph/ops.ts';
import { chooseKernel, type SelectionPolicy } from '../../kernels/selection.ts';
import { elementCount, type DeviceTraits, type KernelContext } from '../../kernels/kernel.ts';
import type { DeviceType, Fusion, Target } from '../../plan/target.ts';
import { DEVICE_DTYPE_BYTES, type FloatDType } from '../../tensor/dtype.ts';
import { refuseBF16 } from '../storage-types.ts';

/** Sizes that limit plans. */
export interface MemoryLimits {
  readonly alignment: number;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
}

/** What a target is made of. */
export interface TargetParts {
  readonly traits: DeviceTraits;
  readonly limits: MemoryLimits;
  readonly policy: SelectionPolicy;
  readonly fusions: ReadonlySet<Fusion>;
  readonly int8?: 'dynamic' | undefined;
  /** f32 where the device could compute in f16, but is not to. */
  readonly arithmetic?: 'f32' | undefined;
}

/** What kernels may know of nodes whose values have these types. */
export function contextOf(traits: DeviceTraits, typeOf: (value: ValueId) => DeviceType): KernelContext {
  return { traits, shapeOf: (value) => typeOf(value).shape, dtypeOf: (value) => typeOf(value).dtype };
}

/** Name of the targets for a type of activations: plans made for one may be compiled on any WebGPU device with its kernels. */
export function targetName(dtype: FloatDType): string {
  return `webgpu-${dtype}`;
}

/** The target of a device for a storage type: f16 is for weights alone where the device has no f16 arithmetic. */
export function createTarget(
  storage: FloatDType,
  { traits, limits, policy, fusions, int8, arithmetic }: TargetParts,
): Target {
  refuseBF16('webgpu', storage);
  const dtype = traits.f16 ? (arithmetic ?? storage) : 'f32';
  return {
    name: targetName(dtype),
    dtype,
    weightDtype: storage,
    mixesTypes: true,
    ...limits,
    mayReadAndWriteOneBuffer: false,
    fusions,
    ...(int8 && { int8 }),
    select(node, typeOf, nodes) {
      const untold = { ...contextOf(traits, typeOf), nodes };
      const { kernel, variant } = chooseKernel(node, untold, policy);
      const context = { ...untold, variant };
      checkBindings(node, context, kernel.splits, limits);
      const scratchBytes = kernel.scratchBytes(node, context);
      for (const bytes of scratchBytes) checkBytes(bytes, 'scratch', node, limits);
      const inPlace = kernel.inPlace(node, context);
      return {
        kernel: kernel.id,
        ...(variant === undefined ? {} : { variant }),
        scratchBytes,
        ...(inPlace === undefined ? {} : { inPlace }),
      };
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
