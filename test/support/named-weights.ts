/** @file Weights that follow from the names of their tensors, as test/fixtures/named_weights.py makes them. */

import { Generator } from '../../src/index.ts';
import { missingTensor, type TensorInfo, type WeightSource } from '../../src/loaders/weight-source.ts';

/** 32-bit FNV-1a. */
function fnv1a(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}

function namedTensor(name: string, shape: readonly number[]): Float32Array {
  const values = new Generator(fnv1a(name)).randn(shape);
  if (shape.length > 1) {
    const root = Math.sqrt(values.length / shape[0]);
    return values.map((value) => value / root);
  }
  const centre = name.includes('norm') && name.endsWith('weight') ? 1 : 0;
  return values.map((value) => centre + Math.fround(Math.fround(0.15) * value));
}

/** Named weights of these shapes; `salt` goes before all names. */
export function namedWeights(shapes: Readonly<Record<string, readonly number[]>>, salt = ''): WeightSource {
  const source: WeightSource = {
    name: 'named weights',
    names: () => Object.keys(shapes),
    has: (name) => Object.hasOwn(shapes, name),
    info(name): TensorInfo {
      if (!source.has(name)) throw missingTensor(source, name);
      const shape = shapes[name];
      return { dtype: 'F32', shape, byteLength: 4 * shape.reduce((a, b) => a * b, 1), file: source.name };
    },
    async read(name) {
      return Promise.resolve(
        Uint8Array.from(new Uint8Array(namedTensor(salt + name, source.info(name).shape).buffer)),
      );
    },
    async *readChunks(name) {
      yield await source.read(name);
    },
    close: async () => Promise.resolve(),
  };
  return source;
}
