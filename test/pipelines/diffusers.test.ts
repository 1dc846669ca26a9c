/** @file Whole runs against diffusers: same seed, same latents, on every backend that is present. */

import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  DiffusionPipeline,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  type CallOptions,
} from '../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson, STARTER } from '../support/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import { camelCase } from '../support/pictures.ts';
import '../support/nmse.ts';

const pair = v.tuple([v.number(), v.number()]);
const text = v.nullish(v.union([v.string(), v.array(v.string())]));
const caseSchema = v.strictObject({
  prompt: v.union([v.string(), v.array(v.string())]),
  prompt_2: text,
  negative_prompt: text,
  negative_prompt_2: text,
  seed: v.union([v.number(), v.array(v.number())]),
  height: v.number(),
  width: v.number(),
  num_inference_steps: v.number(),
  num_images_per_prompt: v.optional(v.number()),
  guidance_scale: v.number(),
  guidance_rescale: v.optional(v.number()),
  eta: v.optional(v.number()),
  clip_skip: v.optional(v.number()),
  original_size: v.optional(pair),
  crops_coords_top_left: v.optional(pair),
  target_size: v.optional(pair),
  negative_original_size: v.optional(pair),
  negative_crops_coords_top_left: v.optional(pair),
  negative_target_size: v.optional(pair),
  output_type: v.optional(v.literal('latent')),
  scheduler: v.optional(v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) })),
  embeds: v.optional(v.boolean()),
});
const fixtureSchema = v.looseObject({ cases: v.record(v.string(), caseSchema) });

type Case = v.InferOutput<typeof caseSchema>;

/** diffusers' keyword arguments as options of a call. */
function callOptions({
  scheduler: _scheduler,
  embeds: _embeds,
  output_type: _type,
  ...rest
}: Case): CallOptions {
  const given = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [camelCase(name), value]));
}

const backends = await presentBackends();

/** The slow backends draw one picture with the starter, the one that everything else is judged by, and the small models. */
function isRunOn(backend: string, model: string, name: string): boolean {
  return backend === 'cpu' || model !== 'starter' || name === 'apple';
}

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  describe.each(['tiny-sd', 'tiny-sdxl', 'starter'])('%s', async (model) => {
    const { cases } = readFixtureJson(`pipelines/${model}.json`, fixtureSchema);
    const expected = await openTensorFixture(`pipelines/${model}.safetensors`);
    const folder = model === 'starter' ? STARTER : fixturePath(`pipelines/${model}`);
    const pipe = await DiffusionPipeline.fromPretrained(folder, { backends: [factory], dtype: 'f32' });
    const own = pipe.scheduler;
    afterAll(() => pipe.dispose());

    it.each(Object.keys(cases).filter((name) => isRunOn(backend, model, name)))(
      'draws "%s" as diffusers does',
      async (name) => {
        const spec = cases[name];
        const options = spec.scheduler?.options ?? {};
        pipe.scheduler =
          spec.scheduler?.class === 'EulerAncestralDiscreteScheduler'
            ? EulerAncestralDiscreteScheduler.fromConfig(own.config)
            : spec.scheduler?.class === 'DPMSolverMultistepScheduler'
              ? DPMSolverMultistepScheduler.fromConfig(own.config, {
                  useKarrasSigmas: options['use_karras_sigmas'] === true,
                })
              : own;
        const wantsImages = expected.names.includes(`${name}.images`);
        const { latents, np } = await pipe({
          ...callOptions(spec),
          outputType: wantsImages ? 'np' : 'latent',
          returnLatents: true,
        });
        const steps = `${name}.steps`;
        const all = expected.f32(expected.names.includes(steps) ? steps : `${name}.latents`);
        expect(latents!.data).toMatchNmse(all.subarray(all.length - latents!.data.length), 1e-6);
        if (wantsImages) expect(np!.data).toMatchNmse(expected.f32(`${name}.images`), 1e-6);
      },
      240_000,
    );
  });
});
