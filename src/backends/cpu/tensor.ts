/** @file Tensors that outlive runs: one range each, so that programs can share them. */

import { OptionError } from '../../errors.ts';
import type { ExternalTensor } from '../../plan/plan.ts';
import type { DeviceDType } from '../../tensor/dtype.ts';
import type { DeviceTensor } from '../backend.ts';
import type { Engine } from './engine.ts';
import { elementCount } from './kernel.ts';
import type { Range } from './memory.ts';

/** A tensor of its own in linear memory; zeros at first. */
export class CpuTensor implements DeviceTensor {
  readonly engine: Engine;
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  readonly range: Range;
  #disposed = false;

  constructor(engine: Engine, { name, shape, dtype, bytes }: ExternalTensor) {
    this.engine = engine;
    this.shape = shape;
    this.dtype = dtype;
    this.range = engine.memory.allocate(bytes, `tensor "${name}"`);
    engine.memory.bytes(this.range.address, this.range.bytes).fill(0);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    void this.engine.releaseLater([this.range]);
  }
}

/** The tensor to use for `wanted`: a given one of another program. Throws OptionError if it does not fit. */
export function sharedTensor(engine: Engine, wanted: ExternalTensor, given: DeviceTensor): CpuTensor {
  const fits = given.dtype === wanted.dtype && elementCount(given.shape) === elementCount(wanted.shape);
  if (given instanceof CpuTensor && given.engine === engine && fits) return given;
  throw new OptionError(`cannot be shared: it is ${given.dtype} [${given.shape.join(', ')}]`, {
    field: wanted.name,
    remedy: `Give a tensor of this backend, ${wanted.dtype} [${wanted.shape.join(', ')}]`,
  });
}
