/** @file The tests that every guest has to pass: op cases against the reference, and a picture against diffusers. */
import { expect, test } from 'vitest';
import * as v from 'valibot';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import type { OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from './compute-case.ts';
import type { Guest, GuestBackend } from './guest.ts';
import { DRAWN_SUITES } from './drawn/suites.ts';
import { readFixtureJson } from './fixtures.ts';
import {
  finalLatents,
  readTextToImageFixture,
  type TEXT_TO_IMAGE_MODELS,
  textToImageOptions,
} from './text-to-image-cases.ts';
import './nmse.ts';

const describedSchema = v.union([
  v.strictObject({ description: v.string(), dtypes: v.array(v.picklist(['f32', 'f16'])) }),
  v.strictObject({ reason: v.string() }),
]);

/** What a backend is in a guest, or why it cannot be had there. */
export async function describeBackend(ask: Guest, backend: string): Promise<GuestBackend> {
  return v.parse(describedSchema, JSON.parse(await ask({ ask: 'describe', backend })));
}

/** Pictures that a guest draws. */
export interface Drawing {
  readonly model: (typeof TEXT_TO_IMAGE_MODELS)[number];
  /** Where the guest finds the model. */
  readonly folder: () => string;
  /** By name. */
  readonly cases: readonly string[];
  readonly dtype: 'f32' | 'f16';
}

const reference = createReferenceBackend();
const references = new Map<string, Promise<Float32Array>>();

/**
 * Defines the tests.
 * @param ask the guest
 * @param backend the backend's name
 * @param dtypes the types in which op cases are computed
 * @param drawings what it draws
 */
export function testGuest(
  ask: Guest,
  backend: string,
  dtypes: readonly ('f32' | 'f16')[],
  drawings: readonly Drawing[],
): void {
  for (const dtype of dtypes)
    test.each(casesFor(dtype).map((testCase) => [testCase.name, testCase] as const))(
      `${dtype} %s`,
      async (name, testCase) => {
        if (!references.has(name)) references.set(name, computeCase(reference, 'f32', testCase));
        const actual = fromBase64(await ask({ ask: 'compute', backend, dtype, testCase: name }));
        expect(actual).toMatchNmse((await references.get(name)) ?? [], testCase.nmse[dtype]);
      },
    );

  for (const drawing of drawings) testDrawing(ask, backend, drawing);
}

/**
 * Halves are tested nowhere else, so all cases are; in f32 guests differ from the tests of backends by their runtime, not by
 * arithmetic, so a case of each kind will do.
 */
function casesFor(dtype: 'f32' | 'f16'): readonly OpCase[] {
  if (dtype === 'f16') return TEST_CASES;
  return [...new Map(TEST_CASES.map((testCase) => [testCase.kind, testCase])).values()];
}

function testDrawing(ask: Guest, backend: string, { folder, model, cases, dtype }: Drawing): void {
  test.each(cases)(
    `${dtype} ${model}: draws "%s" as diffusers does`,
    async (name) => {
      const { cases: specs, torchFloat16Nmse, expected } = await readTextToImageFixture(model);
      const options = textToImageOptions(specs[name]);
      const latents = fromBase64(await ask({ ask: 'draw', backend, dtype, model: folder(), options }));
      // f16 may be off by four times what torch's own float16 is.
      const bound = dtype === 'f32' ? 1e-6 : Math.min(4 * torchFloat16Nmse[name], 1e-3);
      expect(latents).toMatchNmse(finalLatents(expected, name, latents.length), bound);
    },
    300_000,
  );
}

/**
 * Defines a test for each case of the fixtures that torch's own float16 was measured with, drawn in float16. Their titles
 * are those of the same cases in float32, which test/features.ts counts.
 * @param ask a guest that has the fixtures
 */
export function testFloat16Cases(ask: Guest, backend: string): void {
  const measured = readFixtureJson('pipelines/float16.json', v.record(v.string(), v.number()));
  const suites = Object.entries(DRAWN_SUITES).flatMap(([suite, drawn]) =>
    drawn.names.map((name) => ({ suite, name, drawn, off: measured[`${suite}.${name}`] })),
  );
  const cases = suites.filter(({ off }) => off !== undefined);
  test('every case that was measured is drawn', () => {
    expect(cases).toHaveLength(Object.keys(measured).length);
  });
  test("plain f16 overflows in the VAE that 'vae-upcast' draws with", async () => {
    const plain = { ask: 'case', backend, dtype: 'f16', suite: 'vae-upcast', name: 'plain' } as const;
    const data = fromBase64(await ask(plain));
    expect(data.some(Number.isFinite)).toBe(false);
  }, 300_000);
  test.each(cases.map((one) => [`pipelines/${one.suite}.test > ${titleOf(one.name)}`, one] as const))(
    'f16 as %s',
    async (_title, { suite, name, off, drawn }) => {
      const data = fromBase64(await ask({ ask: 'case', backend, dtype: 'f16', suite, name }));
      expect(data).toMatchNmse(drawn.expected(name).data, Math.min(4 * off, 1e-3));
    },
    300_000,
  );
}

/** As test-drawn.ts has it: `MODEL > draws "CASE"`. */
function titleOf(name: string): string {
  const parts = name.split('.');
  const draws = `draws "${parts.at(-1)}"`;
  return [...parts.slice(0, -1), draws].join(' > ');
}

function fromBase64(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Float32Array(bytes.buffer);
}
