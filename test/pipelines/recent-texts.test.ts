/** @file Prompts that were encoded lately are not again, and those of a call that waits are while others are drawn. */
import { afterAll, expect, it } from 'vitest';
import { type BackendFactory, type CallOptions, cpu, DiffusionPipeline } from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';

/** Texts that were encoded, and who wants to hear of the next. */
let encoded = 0;
let onEncoded = (): void => undefined;

const counting: BackendFactory = {
  name: 'cpu',
  async open(options) {
    const backend = await cpu({ threads: 2 }).open(options);
    if ('reason' in backend) return backend;
    return {
      ...backend,
      async compile(plan, compiling) {
        const program = await backend.compile(plan, compiling);
        if (plan.name !== 'text_encoder') return program;
        const run = program.run.bind(program);
        program.run = () => {
          encoded++;
          onEncoded();
          run();
        };
        return program;
      },
    };
  },
};
const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
  backends: [counting],
});
afterAll(() => pipe.dispose());

const BASE = { height: 64, width: 64, numInferenceSteps: 2, seed: 1, outputType: 'latent' } as const;

/** Draws; `texts` are as many as were encoded for it. */
async function draw(options: CallOptions) {
  const before = encoded;
  const { latents } = await pipe({ ...BASE, ...options });
  return { latents: latents!.data, texts: encoded - before };
}

it('encodes a text once, for each layer that is read', async () => {
  const first = await draw({ prompt: 'a cat' });
  expect(first.texts).toBe(2);
  expect(await draw({ prompt: 'a cat' })).toEqual({ ...first, texts: 0 });
  const dog = await draw({ prompt: 'a dog' });
  expect(dog.texts).toBe(1);
  expect(dog.latents).not.toEqual(first.latents);
  expect((await draw({ prompt: 'a dog', clipSkip: 1 })).texts).toBe(1);
  expect((await draw({ prompt: 'a (cat:1.2)', promptSyntax: 'webui' })).texts).toBeGreaterThan(0);
});

it('encodes texts anew when adapters change the encoder', async () => {
  const prompt = 'a red apple';
  const before = await draw({ prompt });
  await pipe.loadLoraWeights(fixturePath('lora/kohya.safetensors'), { adapterName: 'ink' });
  expect((await draw({ prompt })).texts).toBe(2);
  await pipe.setAdapters(['ink'], [0.5]);
  expect((await draw({ prompt })).texts).toBe(2);
  await pipe.unloadLoraWeights();
  expect(await draw({ prompt })).toEqual({ latents: before.latents, texts: 2 });
});

it('forgets the texts that were not used for longest', async () => {
  const prompts = Array.from({ length: 17 }, (_, i) => `a number ${i}`);
  for (const prompt of prompts) await draw({ prompt });
  // The empty one is part of every call.
  expect((await draw({ prompt: 'a number 16' })).texts).toBe(0);
  expect((await draw({ prompt: 'a number 1' })).texts).toBe(1);
});

it('encodes the prompt of a call of a batch while the one before it is drawn', async () => {
  const batch = pipe.continuousBatch({ maxImages: 1 });
  let second: Promise<unknown> | undefined;
  await batch.draw(
    { ...BASE, prompt: 'a cat' },
    {
      onStep: async ({ index }) => {
        if (index > 0) return;
        const isEncoded = new Promise<void>((resolve) => (onEncoded = resolve));
        second = batch.draw({ ...BASE, prompt: 'a prompt that nobody had before' });
        // The batch waits for this.
        await isEncoded;
      },
    },
  );
  await expect(second).resolves.toHaveProperty('latents');
});
