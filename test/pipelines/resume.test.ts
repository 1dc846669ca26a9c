/** @file Runs that go on from a checkpoint: what they draw is what undisturbed runs draw, bit for bit. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  cpu,
  DiffusionPipeline,
  OptionError,
  SCHEDULERS,
  type CallOptions,
  type Checkpoint,
} from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';

let pipe: DiffusionPipeline;
let own: DiffusionPipeline['scheduler'];
beforeAll(async () => {
  pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), { backends: [cpu()] });
  own = pipe.scheduler;
});
afterAll(() => pipe.dispose());

const CALL: CallOptions = {
  prompt: 'a red apple',
  numInferenceSteps: 5,
  height: 32,
  width: 32,
  seed: 7,
  outputType: 'latent',
};
const picture = {
  width: 32,
  height: 32,
  data: Uint8ClampedArray.from({ length: 4096 }, (_, i) => (i * 7) % 256),
};
const half = {
  width: 32,
  height: 32,
  data: Uint8ClampedArray.from({ length: 4096 }, (_, i) => (i < 2048 ? 255 : 0)),
};

/** A whole run's latents, and its checkpoints. */
async function run(options: CallOptions): Promise<{ data: Float32Array; checkpoints: Checkpoint[] }> {
  const checkpoints: Checkpoint[] = [];
  const stream = pipe.stream(options);
  for await (const { checkpoint } of stream) if (checkpoint) checkpoints.push(await checkpoint());
  const { latents } = await stream.output;
  return { data: latents?.data ?? new Float32Array(), checkpoints };
}

const cases: Readonly<Record<string, { scheduler?: keyof typeof SCHEDULERS; options?: CallOptions }>> = {
  'with noise at each step': { scheduler: 'euler-ancestral' },
  'with a generator for each image': {
    scheduler: 'euler-ancestral',
    options: { numImagesPerPrompt: 2, seed: [3, { seed: 4, device: 'cuda' }] },
  },
  'of a scheduler with a history': { scheduler: 'dpm++' },
  'of a scheduler that corrects itself': { scheduler: 'unipc' },
  'of a scheduler with a counter': { scheduler: 'pndm' },
  'of two calls a step': { scheduler: 'heun' },
  'of a picture and a mask': { options: { image: picture, maskImage: half, strength: 0.9 } },
  'of a prompt that changes': { options: { prompt: '[a red:a green:2] [apple|fox]', promptSyntax: 'webui' } },
  'with kept features': { options: { cacheInterval: 2 } },
};

test.each(Object.entries(cases))('%s', async (_name, { scheduler, options }) => {
  pipe.scheduler = scheduler ? SCHEDULERS[scheduler].fromConfig(own.config) : own;
  const call = { ...CALL, ...options };
  const { data, checkpoints } = await run(call);
  expect(checkpoints.length).toBeGreaterThanOrEqual(2);
  for (const index of [0, checkpoints.length - 1]) {
    const from = checkpoints[index];
    const again = await run({ ...call, resumeFrom: structuredClone(from) });
    expect(Buffer.from(again.data.buffer).equals(Buffer.from(data.buffer))).toBe(true);
    expect(again.checkpoints).toHaveLength(checkpoints.length - index - 1);
  }
});

test('another run is refused', async () => {
  pipe.scheduler = own;
  const [from] = (await run(CALL)).checkpoints;
  for (const options of [{ numInferenceSteps: 6 }, { height: 64 }, { hires: { scale: 2 } }])
    await expect(pipe({ ...CALL, ...options, resumeFrom: from })).rejects.toThrow(OptionError);
  await expect(pipe({ ...CALL, resumeFrom: { ...from, done: 0 } })).rejects.toThrow(/resumeFrom/);
  // The seed need not be told again.
  const { seed: _seed, ...seedless } = CALL;
  expect((await pipe({ ...seedless, resumeFrom: from })).options.seed).toBe(7);
});
