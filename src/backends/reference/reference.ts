/**
 * @file The reference backend: plain TypeScript with float64 sums. Slow and obvious; every other backend, and
 * every pass, is measured against it.
 */

import { GraphError, OptionError } from '../../errors.ts';
import { definitionOf, inputsOf } from '../../graph/ops.ts';
import { FUSIONS, type Target } from '../../plan/target.ts';
import type { Backend, BackendFactory } from '../backend.ts';
import { ReferenceProgram } from './program.ts';
import { ReferenceWeights } from './weights.ts';

/** The reference runs every op in f32, fused or not, without scratch and without limits. */
export const REFERENCE_TARGET: Target = {
  name: 'reference',
  dtype: 'f32',
  alignment: 16,
  maxBindingBytes: Infinity,
  maxBufferBytes: Infinity,
  mayReadAndWriteOneBuffer: true,
  fusions: new Set(FUSIONS),
  select(node) {
    const given = new Set(inputsOf(node).map(([name]) => name));
    const inPlace = definitionOf(node.kind).inPlace?.find((name) => given.has(name));
    return { kernel: node.kind, scratchBytes: [], ...(inPlace === undefined ? {} : { inPlace }) };
  },
};

/** A backend that computes on the calling thread, when `run` is called. It works everywhere. */
export function createReferenceBackend(): Backend {
  return {
    name: 'reference',
    description: 'plain TypeScript, one thread',
    dtypes: ['f32'],
    target(dtype) {
      if (dtype !== 'f32')
        throw new OptionError(`the reference backend has no ${dtype}`, { field: 'dtype', remedy: 'Use f32' });
      return REFERENCE_TARGET;
    },
    createWeights: (reader) => new ReferenceWeights(reader),
    async compile(plan, { weights, tensors = new Map(), signal, onProgress }) {
      if (plan.target !== REFERENCE_TARGET.name || !(weights instanceof ReferenceWeights))
        throw new GraphError('the plan or the weights are those of another backend', {
          file: `plan "${plan.name}"`,
          remedy: 'Plan for the target of the backend that compiles, and use its createWeights',
        });
      const total = plan.weights.length;
      const loaded: Float32Array[] = [];
      for (const weight of plan.weights) {
        signal?.throwIfAborted();
        loaded.push(await weights.load(weight, signal));
        onProgress?.({ phase: 'weights', done: loaded.length, total });
      }
      return new ReferenceProgram(plan, loaded, tensors);
    },
    idle: () => Promise.resolve(),
    dispose: () => undefined,
  };
}

/** The reference backend as a factory; it can always be had. */
export function reference(): BackendFactory {
  return { name: 'reference', open: () => Promise.resolve(createReferenceBackend()) };
}
