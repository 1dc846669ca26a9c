/** @file `Generator` against torch's CPU generator, bit for bit. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { OptionError } from '../../src/errors.ts';
import { Generator } from '../../src/random/generator.ts';

const Fixture = v.object({
  cases: v.array(
    v.object({
      seed: v.string(),
      draws: v.array(
        v.object({
          kind: v.picklist(['randn', 'rand']),
          shape: v.array(v.number()),
          dtype: v.picklist(['float32', 'float16']),
          head: v.string(),
          sha256: v.string(),
        }),
      ),
    }),
  ),
});
const file = new URL('../fixtures/random/cpu.json', import.meta.url);
const fixture = v.parse(Fixture, JSON.parse(readFileSync(file, 'utf8')));

const base64 = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

describe('Generator gives the bits of torch.Generator("cpu")', () => {
  for (const { seed, draws } of fixture.cases) {
    const sizes = draws.map(({ kind, shape, dtype }) => `${kind} [${shape.join(', ')}] ${dtype}`).join('; ');
    test(`seed ${seed}: ${sizes}`, () => {
      const generator = new Generator(BigInt(seed));
      for (const { kind, shape, dtype, head, sha256 } of draws) {
        const values = generator[kind](shape, { dtype });
        expect(base64(values.slice(0, 100))).toBe(head);
        expect(createHash('sha256').update(values).digest('hex')).toBe(sha256);
      }
    });
  }
});

test('a number and a bigint of the same value are the same seed', () => {
  expect(new Generator(123).randn([20])).toEqual(new Generator(123n).randn([20]));
});

describe('bad input', () => {
  test.each([1.5, Number.NaN, Infinity, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])('seed %s', (seed) => {
    expect(() => new Generator(seed)).toThrow(OptionError);
  });
  test.each([[[-1]], [[1.5]], [[Number.NaN]], [[65536, 65536]]])('shape %j', (shape) => {
    expect(() => new Generator(0).randn(shape)).toThrow(OptionError);
    expect(() => new Generator(0).rand(shape)).toThrow(OptionError);
  });
});
