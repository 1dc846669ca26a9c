/** @file The tests that every guest has to pass: op cases against the reference, and a picture against diffusers. */
import { expect, test } from 'vitest';
import * as v from 'valibot';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from './compute-case.ts';
import { openTensorFixture, readFixtureJson } from './fixtures.ts';
import type { Guest, GuestBackend } from './guest.ts';
import './nmse.ts';

const starterSchema = v.object({
  cases: v.object({
    apple: v.object({
      prompt: v.array(v.string()),
      seed: v.number(),
      height: v.number(),
      width: v.number(),
      num_inference_steps: v.number(),
      guidance_scale: v.number(),
      guidance_rescale: v.number(),
    }),
  }),
  torch_float16_nmse: v.object({ apple: v.number() }),
});

const describedSchema = v.union([
  v.strictObject({ description: v.string(), dtypes: v.array(v.picklist(['f32', 'f16'])) }),
  v.strictObject({ reason: v.string() }),
]);

/** What a backend is in a guest, or why it cannot be had there. */
export async function describeBackend(ask: Guest, backend: string): Promise<GuestBackend> {
  return v.parse(describedSchema, JSON.parse(await ask({ ask: 'describe', backend })));
}

const reference = createReferenceBackend();
const references = new Map<string, Promise<Float32Array>>();

/**
 * Defines the tests.
 * @param ask the guest
 * @param backend the backend's name
 * @param dtypes the types in which op cases are computed
 * @param drawing where the guest finds the starter model, and the type it draws in
 */
export function testGuest(
  ask: Guest,
  backend: string,
  dtypes: readonly ('f32' | 'f16')[],
  drawing: { readonly model: () => string; readonly dtype: 'f32' | 'f16' },
): void {
  for (const dtype of dtypes)
    test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
      `${dtype} %s`,
      async (name, testCase) => {
        if (!references.has(name)) references.set(name, computeCase(reference, 'f32', testCase));
        const actual = fromBase64(await ask({ ask: 'compute', backend, dtype, testCase: name }));
        expect(actual).toMatchNmse((await references.get(name)) ?? [], testCase.nmse[dtype]);
      },
    );

  const { model, dtype } = drawing;
  test(`${dtype} draws the starter model's "apple" as diffusers does`, { timeout: 300_000 }, async () => {
    const fixture = readFixtureJson('pipelines/starter.json', starterSchema);
    const { apple } = fixture.cases;
    const options = {
      prompt: apple.prompt,
      seed: apple.seed,
      height: apple.height,
      width: apple.width,
      numInferenceSteps: apple.num_inference_steps,
      guidanceScale: apple.guidance_scale,
      guidanceRescale: apple.guidance_rescale,
    };
    const latents = fromBase64(await ask({ ask: 'draw', backend, dtype, model: model(), options }));
    const steps = (await openTensorFixture('pipelines/starter.safetensors')).f32('apple.steps');
    // f16 may be off by four times what torch's own float16 is.
    const bound = dtype === 'f32' ? 1e-6 : 4 * fixture.torch_float16_nmse.apple;
    expect(latents).toMatchNmse(steps.subarray(-latents.length), bound);
  });
}

function fromBase64(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Float32Array(bytes.buffer);
}
