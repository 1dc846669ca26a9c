/** @file Calls that join and leave a batch between steps, against the same calls alone. */

import { afterAll, expect, it } from 'vitest';
import {
  type CallOptions,
  type ContinuousBatch,
  cpu,
  DiffusionPipeline,
  OptionError,
  SCHEDULER_PRESETS,
  type SchedulerPreset,
} from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';
import '../support/nmse.ts';

const BASE = { height: 64, width: 64, guidanceScale: 5, outputType: 'latent' } as const;

const load = (model: string) =>
  DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${model}`), { backends: [cpu({ threads: 2 })] });
const pipe = await load('tiny-sd');
const own = pipe.scheduler;
afterAll(() => pipe.dispose());

/** A call in a batch: when it begins, in steps of the one before it, and with which sampler. */
interface Call extends CallOptions {
  readonly after?: number;
  readonly scheduler?: SchedulerPreset;
}

/** Draws on its own. */
async function alone(on: DiffusionPipeline, call: Call): Promise<Float32Array> {
  const { after: _after, scheduler, ...options } = call;
  if (scheduler) on.scheduler = SCHEDULER_PRESETS[scheduler].fromConfig(own.config);
  return (await on({ ...BASE, ...options })).latents!.data;
}

/** Begins each call at a step of the one before it; gives their latents, and who was at which step when. */
async function staggered(
  batch: ContinuousBatch,
  calls: readonly Call[],
): Promise<{ readonly latents: Float32Array[]; readonly order: string[]; readonly most: number }> {
  const order: string[] = [];
  let most = 0;
  const results: Promise<Float32Array>[] = [];
  const begin = (place: number): void => {
    const { after: _after, scheduler, ...options } = calls[place];
    if (scheduler) pipe.scheduler = SCHEDULER_PRESETS[scheduler].fromConfig(own.config);
    const drawn = batch.draw(
      { ...BASE, ...options },
      {
        onStep: ({ index }) => {
          order.push(`${place}:${index}`);
          most = Math.max(most, batch.images);
          if (index + 1 === calls[place + 1]?.after && results.length === place + 1) begin(place + 1);
        },
      },
    );
    results.push(drawn.then(({ latents }) => latents!.data));
  };
  begin(0);
  for (let place = 0; place < calls.length; place++) {
    await results[0];
    await expect.poll(() => results.length).toBeGreaterThan(place);
    await results[place];
  }
  return { latents: await Promise.all(results), order, most };
}

it('draws what each call draws alone, whoever comes and goes', async () => {
  const calls = [
    { after: 0, prompt: 'a cat', seed: 1, numInferenceSteps: 6, scheduler: 'euler' },
    {
      after: 2,
      prompt: ['a dog', 'a red apple'],
      seed: 2,
      numInferenceSteps: 3,
      guidanceScale: 9,
      scheduler: 'euler',
    },
    { after: 1, prompt: 'a fox', seed: 3, numInferenceSteps: 20, scheduler: 'euler-karras' },
    {
      after: 2,
      prompt: 'a [cat:hat:0.5]',
      promptSyntax: 'webui',
      seed: 4,
      numInferenceSteps: 4,
      scheduler: 'euler',
    },
  ] as const;
  const { latents, order, most } = await staggered(pipe.continuousBatch({ maxImages: 4 }), calls);
  expect(most).toBe(4);
  // The second joined at the first's third step, and all that could be were at steps of their own together.
  expect(order.slice(0, 5)).toEqual(['0:0', '0:1', '0:2', '1:0', '0:3']);
  for (const [i, call] of calls.entries())
    expect(latents[i], `call ${i}`).toMatchNmse(await alone(pipe, call), 1e-6);
});

it('lets pictures and samplers that draw noise join, each with its own', async () => {
  const data = Uint8ClampedArray.from({ length: 64 * 64 * 4 }, (_, i) => (i * 37) % 256);
  const image = { width: 64, height: 64, data };
  const calls = [
    { after: 0, prompt: 'a cat', seed: 1, numInferenceSteps: 4, scheduler: 'euler-ancestral' },
    {
      after: 1,
      prompt: 'a dog',
      seed: [2, 3],
      numImagesPerPrompt: 2,
      numInferenceSteps: 2,
      scheduler: 'euler-ancestral',
    },
    {
      after: 1,
      prompt: 'a fox',
      seed: 4,
      image,
      strength: 0.5,
      numInferenceSteps: 6,
      scheduler: 'euler-ancestral',
    },
  ] as const;
  const { latents, most } = await staggered(pipe.continuousBatch(), calls);
  expect(most).toBe(4);
  for (const [i, call] of calls.entries())
    expect(latents[i], `call ${i}`).toMatchNmse(await alone(pipe, call), 1e-6);
});

it('lets SDXL calls join, with pooled text and sizes of their own', async () => {
  const xl = await load('tiny-sdxl');
  const calls = [
    { prompt: 'a cat', seed: 1, numInferenceSteps: 4 },
    { prompt: 'a dog', seed: 2, numInferenceSteps: 3, originalSize: [32, 48] as const },
  ];
  const batch = xl.continuousBatch();
  const drawn = await Promise.all(calls.map((call) => batch.draw({ ...BASE, ...call })));
  for (const [i, call] of calls.entries())
    expect(drawn[i].latents!.data, `call ${i}`).toMatchNmse(await alone(xl, call), 1e-6);
  await xl.dispose();
});

it('keeps calls apart that cannot share steps, and goes on when one is given up', async () => {
  pipe.scheduler = own;
  await pipe.loadLoraWeights(fixturePath('lora/kohya.safetensors'), { adapterName: 'ink' });
  await pipe.setAdapters([]);
  const batch = pipe.continuousBatch();
  const ended: string[] = [];
  const leaver = new AbortController();
  const ask = async (name: string, options: CallOptions, onStep?: () => void): Promise<Float32Array> => {
    const { latents } = await batch.draw(
      { ...BASE, numInferenceSteps: 3, ...options },
      { ...(onStep && { onStep }) },
    );
    ended.push(name);
    return latents!.data;
  };
  const plain = { prompt: 'a cat', seed: 1 };
  const inked = { prompt: 'a cat <lora:ink:1>', promptSyntax: 'webui', seed: 1 } as const;
  const gone = ask('gone', { prompt: 'a dog', signal: leaver.signal }, () => leaver.abort());
  const drawings = [
    ask('plain', plain),
    ask('inked', inked),
    ask('small', { ...plain, height: 32 }),
    ask('perturbed', { ...plain, pagScale: 3 }),
    pipe({ ...BASE, ...plain, numInferenceSteps: 3 }).then(({ latents }) => latents!.data),
    ask('last', plain),
  ];
  await expect(gone).rejects.toThrow(/aborted/);
  const [cat, ink, , perturbed, outside, last] = await Promise.all(drawings);
  expect(ended).toEqual(['plain', 'inked', 'small', 'perturbed', 'last']);
  expect(cat).toMatchNmse(outside, 1e-6);
  // A batch of one is what a call of its own is.
  expect(last).toEqual(outside);
  expect(ink).toMatchNmse(await alone(pipe, { ...inked, numInferenceSteps: 3 }), 1e-6);
  expect(ink).not.toMatchNmse(cat, 1e-4);
  expect(perturbed).not.toMatchNmse(cat, 1e-4);
});

it('lets go at once of a call that waits, while those before it are drawn', async () => {
  pipe.scheduler = own;
  const batch = pipe.continuousBatch({ maxImages: 1 });
  const stop = new AbortController();
  const options = { ...BASE, prompt: 'a cat', seed: 1, numInferenceSteps: 3 };
  const drawn = batch.draw(options, {
    onStep: async ({ index }) => {
      if (index > 0) return;
      stop.abort(new Error('enough'));
      // The batch waits for this, and would never give the other its turn.
      await expect(waiting).rejects.toThrow('enough');
    },
  });
  const waiting = batch.draw({ ...options, signal: stop.signal });
  await expect(drawn).resolves.toHaveProperty('latents');
  await expect(batch.draw(options)).resolves.toHaveProperty('latents');
});

it('refuses what is no size of a batch, and what the pipeline refuses', async () => {
  expect(() => pipe.continuousBatch({ maxImages: 0 })).toThrow(OptionError);
  await expect(pipe.continuousBatch().draw({ prompt: 'a', height: 3 })).rejects.toThrow(OptionError);
});
