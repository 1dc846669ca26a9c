/** @file Weights made up on the spot, for benchmarks of networks whose files are not there. */

import type { WeightReader } from '../../backends/backend.ts';
import type { Graph } from '../../graph/graph.ts';
import { encodeF16 } from '../../tensor/float16.ts';

const NOISE_BLOCK = 1 << 16;

/** Small normal-looking numbers, ones for the scales of norms; halves, as published files have them. For all weights of some graphs. */
export function randomWeights(...graphs: readonly Graph[]): WeightReader {
  const weights = graphs.flatMap((graph) => graph.weights);
  const shapes = new Map(weights.flatMap(({ parts }) => parts.map(({ name, shape }) => [name, shape])));
  let state = 1;
  const uniform = (): number => (state = Math.imul(state, 1664525) + 1013904223) / 2 ** 31;
  const noise = encodeF16(
    Float32Array.from({ length: NOISE_BLOCK }, () => 0.02 * (uniform() + uniform() + uniform())),
  );
  const ones = encodeF16(new Float32Array(NOISE_BLOCK).fill(1));
  const shapeOf = (name: string): readonly number[] => {
    const shape = shapes.get(name);
    if (!shape) throw new RangeError(`no weight ${name}`);
    return shape;
  };
  return {
    info: (name) => ({ dtype: 'F16', shape: shapeOf(name), file: 'random weights' }),
    read(name) {
      const shape = shapeOf(name);
      const count = shape.reduce((a, b) => a * b, 1);
      const block = shape.length === 1 && name.endsWith('.weight') ? ones : noise;
      const out = new Uint16Array(count);
      for (let at = 0; at < count; at += block.length)
        out.set(block.subarray(0, Math.min(block.length, count - at)), at);
      return Promise.resolve(new Uint8Array(out.buffer));
    },
  };
}
