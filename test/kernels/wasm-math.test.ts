/** @file The elementary functions of wasm/lib/math.ts against float64, over all magnitudes, in both builds. */

import { readFile } from 'node:fs/promises';
import { main } from '../../tools/asc.js';
import { describe, expect, test } from 'vitest';
import { ACTIVATIONS } from '../../src/backends/reference/activation.ts';
import { allowRelaxedSimd } from '../../src/platform/threads.ts';

const COUNT = 1 << 16;
const BYTES = 4 * COUNT;
/** Number of exp2OfNegative in the test's module, after the activations. */
const EXP2 = 7;

const ENTRY = `
import { activate, exp2OfNegative } from './math';
export function apply(kind: i32): void {
  for (let i: usize = 0; i < ${BYTES}; i += 16) {
    const x = v128.load(65536 + i);
    v128.store(${65536 + BYTES} + i, kind == ${EXP2} ? exp2OfNegative(x) : activate(kind, x));
  }
}`;

interface MathModule {
  readonly memory: { readonly buffer: ArrayBuffer };
  apply(kind: number): void;
}

function isMathModule(exports: object): exports is MathModule {
  return 'memory' in exports && 'apply' in exports;
}

/** Compiles the functions, and gives a way to apply them to COUNT numbers. */
async function compile(
  features: readonly string[],
): Promise<(kind: number, x: Float32Array) => Float32Array> {
  const math = await readFile('wasm/lib/math.ts', 'utf8');
  let output: Uint8Array<ArrayBuffer> | undefined;
  const flags = [
    '-O3',
    '--runtime=stub',
    '--initialMemory=16',
    ...features.map((name) => `--enable=${name}`),
  ];
  const { error } = await main(['entry.ts', '--outFile=math.wasm', ...flags], {
    readFile: (name) => ({ 'entry.ts': ENTRY, 'math.ts': math })[name] ?? null,
    writeFile(_name, contents) {
      if (typeof contents !== 'string') output = new Uint8Array(contents);
    },
    listFiles: () => [],
  });
  if (error || !output) throw error ?? new Error('the compiler wrote nothing');
  allowRelaxedSimd();
  const { exports } = new WebAssembly.Instance(await WebAssembly.compile(output), {});
  if (!isMathModule(exports)) throw new Error('the module lacks its exports');
  return (kind, x) => {
    new Float32Array(exports.memory.buffer, 65536, COUNT).set(x);
    exports.apply(kind);
    return new Float32Array(exports.memory.buffer, 65536 + BYTES, COUNT).slice();
  };
}

/** Numbers of all magnitudes, most of them where functions bend. */
function samples(): Float32Array {
  return Float32Array.from({ length: COUNT }, (_, i) => {
    const u = (2 * i) / COUNT - 1;
    if (i % 4 === 0) return 100 * u;
    if (i % 4 === 1) return 10 * u;
    if (i % 4 === 2) return u;
    return Math.sign(u) * 10 ** (76 * Math.abs(u) - 38);
  });
}

/** The upper tail of the normal distribution: for large x a continued fraction, where 1 - erf would cancel. */
function normalTail(x: number): number {
  if (x < 2) return ACTIVATIONS.gelu(-x) / -x;
  let fraction = 0;
  for (let k = 200; k >= 1; k--) fraction = k / (x + fraction);
  return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI) / (x + fraction);
}

const FUNCTIONS: readonly (readonly [string, number, (x: number) => number])[] = [
  ['none', 0, ACTIVATIONS.none],
  ['relu', 1, ACTIVATIONS.relu],
  ['silu', 2, ACTIVATIONS.silu],
  ['gelu', 3, (x) => (x < 0 ? x * normalTail(-x) : ACTIVATIONS.gelu(x))],
  ['quick_gelu', 4, ACTIVATIONS.quick_gelu],
  ['tanh', 5, ACTIVATIONS.tanh],
  ['gelu_tanh', 6, ACTIVATIONS.gelu_tanh],
  ['exp2OfNegative', EXP2, (x) => 2 ** x],
];

describe.each([
  ['simd128', ['simd']],
  ['relaxed-simd', ['simd', 'relaxed-simd']],
])('%s', async (_build, features) => {
  const apply = await compile(features);

  test.each(FUNCTIONS)('%s', (_name, kind, exact) => {
    const x = samples().map((value) => (kind === EXP2 ? -Math.abs(value) : value));
    const y = apply(kind, x);
    let [worst, smallest] = [0, 0];
    x.forEach((value, i) => {
      const expected = exact(value);
      const error = Math.abs(y[i] - expected);
      // Below this, results may become 0.
      if (Math.abs(expected) < 1e-36) smallest = Math.max(smallest, error);
      else worst = Math.max(worst, error / Math.abs(expected));
    });
    expect(worst).toBeLessThan(1e-6);
    expect(smallest).toBeLessThan(1e-36);
  });

  test('NaN and infinities, as torch has them', () => {
    const at = (kind: number, value: number): number => apply(kind, new Float32Array(COUNT).fill(value))[0];
    for (const [, kind] of FUNCTIONS) expect(at(kind, Number.NaN)).toBeNaN();
    for (const kind of [1, 2, 3, 4, 6]) expect(at(kind, Infinity)).toBe(Infinity);
    expect([at(5, Infinity), at(5, -Infinity), at(1, -Infinity)]).toEqual([1, -1, 0]);
    for (const kind of [2, 3, 4, 6]) expect(at(kind, -Infinity)).toBeNaN();
    expect(at(EXP2, -Infinity)).toBeLessThan(2e-38);
    for (const [, kind] of FUNCTIONS.slice(0, 7)) expect(Math.abs(at(kind, 0))).toBe(0);
  });
});
