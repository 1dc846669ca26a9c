/** @file `callbackOnStepEnd` against diffusers': the latents of each step, and what becomes of those that it changes. */

import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { cpu, DiffusionPipeline, OptionError, type CallOptions, type StepChange } from '../../src/index.ts';
import { camelCased, setScheduler } from '../support/drawn/drawn-cases.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import '../support/nmse.ts';

const { call, cases } = readFixtureJson(
  'pipelines/callbacks.json',
  v.object({
    call: v.looseObject({}),
    cases: v.record(
      v.string(),
      v.object({
        model: v.string(),
        scheduler: v.string(),
        mask: v.optional(v.tuple([v.number(), v.number()])),
        strength: v.optional(v.number()),
      }),
    ),
  }),
);
const tensors = await openTensorFixture('pipelines/callbacks.safetensors');

/** A picture of 64 x 64 grey pixels. */
function picture(grey: (x: number, y: number) => number) {
  const data = new Uint8ClampedArray(64 * 64 * 4).fill(255);
  for (let i = 0; i < 64 * 64; i++) data.fill(grey(i % 64, Math.floor(i / 64)), 4 * i, 4 * i + 3);
  return { width: 64, height: 64, data };
}

/** The options of an inpainting case, as in make_callbacks.py. */
function inpainting([begin, end]: readonly [number, number], strength: number): CallOptions {
  const isInside = (x: number, y: number): boolean => Math.min(x, y) >= begin && Math.max(x, y) < end;
  return {
    image: picture((x, y) => (3 * x + y) % 256),
    maskImage: picture((x, y) => (isInside(x, y) ? 255 : 0)),
    strength,
  };
}

const open = (model: string): Promise<DiffusionPipeline> =>
  DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${model}`), { backends: [cpu()], dtype: 'f32' });

describe.each([...new Set(Object.values(cases).map(({ model }) => model))])('%s on cpu', async (model) => {
  const pipe = await open(model);
  const own = Object.entries(cases).filter(([, { model: wanted }]) => wanted === model);

  it.each(own)(
    'tells the latents of "%s" step by step, and takes changed ones, as diffusers does',
    async (name, { scheduler, mask, strength = 1 }) => {
      setScheduler(pipe, { class: scheduler, options: {} });
      const seen: number[] = [];
      const { latents } = await pipe({
        ...camelCased(call),
        ...(mask && inpainting(mask, strength)),
        outputType: 'latent',
        callbackOnStepEnd: async (step): Promise<StepChange | undefined> => {
          const { shape, data } = await step.latents();
          seen.push(...data);
          if (step.index % 2 !== 0) return undefined;
          return { latents: { shape, data: data.map((value) => value * 0.9 + step.index / 20) } };
        },
      });
      expect(Float32Array.from(seen)).toMatchNmse(tensors.f32(`${name}.seen`), 1e-6);
      expect(latents!.data).toMatchNmse(tensors.f32(`${name}.final`), 1e-6);
    },
    240_000,
  );

  it.each([
    ['a name that it does not have', { latent: 1 }, /latent/],
    ['what is no object', 3, /type number/],
    [
      'another shape',
      { latents: { shape: [4], data: new Float32Array(4) } },
      /latents of \[4\].*\[1, 4, 8, 8\]/,
    ],
    ['what is no number', { latents: { shape: [1], data: Float32Array.of(NaN) } }, /not all finite/],
  ])('refuses %s', async (_what, change, message) => {
    const drawing = pipe({
      ...camelCased(call),
      // @ts-expect-error: what JavaScript could return
      callbackOnStepEnd: () => change,
    });
    await expect(drawing).rejects.toThrow(OptionError);
    await expect(drawing).rejects.toThrow(message);
  });
});
