/** @file `PhiloxGenerator` against draws of torch's CUDA generator on an H100. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { OptionError } from '../../src/errors.ts';
import { philox, PhiloxGenerator } from '../../src/random/philox.ts';

const Fixture = v.object({
  multiprocessors: v.number(),
  threadsPerMultiprocessor: v.number(),
  cases: v.array(
    v.object({
      seed: v.string(),
      draws: v.array(
        v.object({
          kind: v.picklist(['randn', 'rand']),
          shape: v.array(v.number()),
          dtype: v.picklist(['float32', 'float16']),
          indices: v.array(v.number()),
          values: v.string(),
          sha256: v.optional(v.string()),
        }),
      ),
    }),
  ),
});
const file = new URL('../fixtures/random/philox.json', import.meta.url);
const fixture = v.parse(Fixture, JSON.parse(readFileSync(file, 'utf8')));

function decode(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer);
}

/** Mean squared error over the mean square of what is expected. */
function nmse(actual: Float32Array, expected: Float32Array): number {
  const error = actual.reduce((sum, value, i) => sum + (value - expected[i]) ** 2, 0);
  return error / expected.reduce((sum, value) => sum + value * value, 0);
}

describe('Philox4x32-10', () => {
  // Known answers of the Random123 library (kat_vectors) whose counters have the form (round, 0, thread, 0).
  test('gives the published words for a zero counter and key', () => {
    expect(philox(0, 0, { low: 0, high: 0 })).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });
});

/** What a draw must agree to; one unit of float16 may lie between two float32 numbers however close. */
const TOLERANCE = { float32: { each: 2e-6, nmse: 1e-12 }, float16: { each: 2 ** -10, nmse: 1e-6 } };

function expectClose(actual: Float32Array, expected: Float32Array, dtype: 'float32' | 'float16'): void {
  const { each, nmse: mean } = TOLERANCE[dtype];
  actual.forEach((value, i) => expect(Math.abs(value - expected[i])).toBeLessThanOrEqual(each));
  expect(nmse(actual, expected)).toBeLessThan(mean);
}

describe('PhiloxGenerator gives the numbers of torch.Generator("cuda")', () => {
  for (const { seed, draws } of fixture.cases) {
    const sizes = draws.map(({ kind, shape, dtype }) => `${kind} [${shape.join(', ')}] ${dtype}`).join('; ');
    test(`seed ${seed}: ${sizes}`, () => {
      const generator = new PhiloxGenerator(BigInt(seed), fixture);
      for (const { kind, shape, dtype, indices, values, sha256 } of draws) {
        const all = generator[kind](shape, { dtype });
        const kept = Float32Array.from(indices, (index) => all[index]);
        expectClose(kept, decode(values), dtype);
        // The fixture has a hash for uniforms only: they agree in every bit.
        const hash = createHash('sha256').update(all).digest('hex');
        expect(hash).toBe(sha256 ?? hash);
      }
    });
  }
});

test('latents of a megapixel picture do not depend on the card', () => {
  const geForce = new PhiloxGenerator(5, { multiprocessors: 128, threadsPerMultiprocessor: 1536 });
  expect(geForce.randn([1, 4, 128, 128])).toEqual(new PhiloxGenerator(5).randn([1, 4, 128, 128]));
});

describe('bad input', () => {
  test.each([1.5, Number.NaN, 2n ** 64n])('seed %s', (seed) => {
    expect(() => new PhiloxGenerator(seed)).toThrow(OptionError);
  });
  test('a geometry without threads', () => {
    const geometry = { multiprocessors: 132, threadsPerMultiprocessor: 128 };
    expect(() => new PhiloxGenerator(0, geometry)).toThrow(OptionError);
  });
});
