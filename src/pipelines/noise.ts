/** @file The noise of a call: from one generator for all images, or from a generator for each, as diffusers draws it. */

import { later } from '../later.ts';
import { Generator } from '../random/generator.ts';
import type { NoiseSource } from '../random/noise-source.ts';
import type { Seed } from './options/call-options.ts';

/** The generators of a call. */
export interface Noise {
  /** Whether each image has a generator of its own. */
  readonly perImage: boolean;
  /** Standard normal values for [count, ...]; with generators for each image, from the first `count` of them. */
  draw(shape: readonly number[]): Float32Array;
}

/** The noise of a call from its seed, or a seed for each image. */
export async function openNoise(seed: Seed | readonly Seed[]): Promise<Noise> {
  if (!isList(seed)) {
    const source = await open(seed);
    return { perImage: false, draw: (shape) => source.randn(shape) };
  }
  const sources = await Promise.all(seed.map(open));
  return {
    perImage: true,
    draw: ([count, ...rest]) => {
      const size = rest.reduce((a, b) => a * b, 1);
      const out = new Float32Array(count * size);
      sources.slice(0, count).forEach((source, i) => out.set(source.randn([1, ...rest]), i * size));
      return out;
    },
  };
}

/** A seed for calls that give none. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

async function open(seed: Seed): Promise<NoiseSource> {
  if (typeof seed === 'number') return new Generator(seed);
  if (seed.device !== 'cuda') return new Generator(seed.seed);
  const { PhiloxGenerator } = await later('seeds of CUDA', () => import('../random/philox.ts'));
  return new PhiloxGenerator(seed.seed);
}

function isList(seed: Seed | readonly Seed[]): seed is readonly Seed[] {
  return Array.isArray(seed);
}
