/** @file The cases of test/fixtures/pipelines/MODEL.json, which tests of several runtimes draw: text to image. */
import * as v from 'valibot';
import type { CallOptions } from '../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson, STARTER, type TensorFixture } from './fixtures.ts';
import { camelCase } from './pictures.ts';

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

/** diffusers' keyword arguments. */
export type TextToImageCase = v.InferOutput<typeof caseSchema>;

/** A model, its cases, and what diffusers made of them. */
export interface TextToImageFixture {
  /** The model's folder. */
  readonly folder: string;
  readonly cases: Readonly<Record<string, TextToImageCase>>;
  /** NMSE of torch's own float16 latents, for cases that draw no noise on the way. */
  readonly torchFloat16Nmse: Readonly<Record<string, number>>;
  readonly expected: TensorFixture;
}

const fixtureSchema = v.looseObject({
  cases: v.record(v.string(), caseSchema),
  torch_float16_nmse: v.record(v.string(), v.number()),
});

/** The models that have such cases. */
export const TEXT_TO_IMAGE_MODELS = ['tiny-sd', 'tiny-sdxl', 'starter'] as const;

/** Reads the cases of a model. */
export async function readTextToImageFixture(
  model: (typeof TEXT_TO_IMAGE_MODELS)[number],
): Promise<TextToImageFixture> {
  const { cases, torch_float16_nmse: torchFloat16Nmse } = readFixtureJson(
    `pipelines/${model}.json`,
    fixtureSchema,
  );
  const expected = await openTensorFixture(`pipelines/${model}.safetensors`);
  const folder = model === 'starter' ? STARTER : fixturePath(`pipelines/${model}`);
  return { folder, cases, torchFloat16Nmse, expected };
}

/** A case as options of a call. */
export function textToImageOptions({
  scheduler: _scheduler,
  embeds: _embeds,
  output_type: _type,
  ...rest
}: TextToImageCase): CallOptions {
  const given = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [camelCase(name), value]));
}

/** A case's final latents, as many values as were drawn; some fixtures hold those of every step. */
export function finalLatents(expected: TensorFixture, name: string, length: number): Float32Array {
  const steps = `${name}.steps`;
  const all = expected.f32(expected.names.includes(steps) ? steps : `${name}.latents`);
  return all.subarray(all.length - length);
}
