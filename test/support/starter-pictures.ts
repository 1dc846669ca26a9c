/** @file The starter model's four reference pictures, 256x256 and 20 steps: noise, final latents and pixels. */

import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  decodePng,
  DiffusionPipeline,
  Generator,
  type BackendFactory,
  type FloatDType,
} from '../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson, STARTER } from './fixtures.ts';
import { nmse } from './nmse.ts';

const FOLDER = 'parity/starter';
const schema = v.object({
  cases: v.array(
    v.object({
      prompt: v.string(),
      seed: v.number(),
      num_inference_steps: v.number(),
      guidance_scale: v.number(),
      guidance_rescale: v.number(),
      height: v.number(),
      width: v.number(),
      picture: v.string(),
    }),
  ),
});

const { cases } = readFixtureJson(`${FOLDER}/cases.json`, schema);
const tensors = await openTensorFixture(`${FOLDER}/latents.safetensors`);

/** Most error of the latents, and the share of bytes that may be off by more than `byte`. */
const BOUNDS = {
  f32: { latents: 1e-6, byte: 1, share: 1e-3 },
  f16: { latents: 1e-3, byte: 8, share: 1e-2 },
  bf16: { latents: 1e-2, byte: 16, share: 5e-2 },
};

/**
 * Draws them on the first backend that works, and compares.
 * @param most how many; all four by default
 */
export async function compareStarterPictures(
  backends: readonly BackendFactory[],
  dtype: FloatDType,
  most: number = cases.length,
): Promise<void> {
  const { latents: bound, byte, share } = BOUNDS[dtype];
  const pipe = await DiffusionPipeline.fromPretrained(STARTER, { backends, dtype });
  describe(`starter on ${pipe.backend.name} (${pipe.backend.description}), ${dtype}`, () => {
    afterAll(() => pipe.dispose());

    it.each(cases.slice(0, most))('$prompt', async (spec) => {
      const index = spec.picture.replace('.png', '');
      const noise = new Generator(spec.seed).randn([1, 4, spec.height / 8, spec.width / 8]);
      expect(noise).toEqual(tensors.f32(`${index}.noise`));
      const { images, latents, timings } = await pipe({
        prompt: spec.prompt,
        seed: spec.seed,
        numInferenceSteps: spec.num_inference_steps,
        guidanceScale: spec.guidance_scale,
        guidanceRescale: spec.guidance_rescale,
        height: spec.height,
        width: spec.width,
        returnLatents: true,
      });
      const expected = tensors.f32(`${index}.latents`);
      const measured = nmse(latents!.data, expected);
      const picture = decodePng(readFileSync(fixturePath(`${FOLDER}/${spec.picture}`))).image.data;
      const drawn = images[0].data;
      const off = picture.reduce((count, value, i) => count + (Math.abs(value - drawn[i]) > byte ? 1 : 0), 0);
      process.stdout.write(
        `${spec.prompt}: latents NMSE ${measured.toExponential(2)}, ${off} of ${picture.length} bytes off, ` +
          `denoise ${timings.denoise.toFixed(2)} s, decode ${timings.decode.toFixed(2)} s\n`,
      );
      expect(measured).toBeLessThanOrEqual(bound);
      expect(off).toBeLessThanOrEqual(picture.length * share);
    });
  });
}
