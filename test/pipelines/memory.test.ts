/** @file Budgets of memory: measured bytes stay within them, and pictures stay the same bit for bit. */

import { afterAll, describe, expect, it } from 'vitest';
import {
  cpu,
  DiffusionPipeline,
  OptionError,
  OutOfMemoryError,
  webgpu,
  type BackendFactory,
  type MemoryOption,
} from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';

const MODEL = fixturePath('pipelines/tiny-sdxl');
const SMALL_MODEL = fixturePath('pipelines/tiny-sd');
const CALL = {
  prompt: 'a red apple',
  height: 64,
  width: 64,
  numInferenceSteps: 2,
  seed: 1,
  outputType: 'np',
} as const;

const open = (factory: BackendFactory, memory?: MemoryOption, model = MODEL) =>
  DiffusionPipeline.fromPretrained(model, { backends: [factory], ...(memory && { memory }) });
type Pipeline = Awaited<ReturnType<typeof open>>;

/** The smallest budget that works, as the error for one that does not says. */
async function smallestBudget(pipe: Pipeline, call: Parameters<Pipeline>[0] = CALL): Promise<number> {
  const error: unknown = await pipe(call).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof OutOfMemoryError))
    throw new Error('the call did not fail as it should', { cause: error });
  expect(error.field).toBe('memory.budget');
  return Number(/(\d+) bytes or more/.exec(error.remedy)?.[1]);
}

/** The picture of a call, whose bytes must be within a budget. */
async function drawWithin(pipe: Pipeline, budget: number, call: Parameters<Pipeline>[0] = CALL) {
  const { np, memory } = await pipe(call);
  expect(memory!.peakDeviceBytes).toBeLessThanOrEqual(budget * 1.05);
  expect(memory!.peakDeviceBytes).toBeGreaterThan(500_000);
  return np!.data;
}

const backends = [
  { name: 'cpu', factory: cpu() },
  { name: 'webgpu', factory: webgpu({ adapter: 'any' }) },
];

describe.each(backends)('on $name', ({ name, factory }) => {
  // Software adapters are slow in compiling kernels.
  const model = name === 'cpu' ? MODEL : SMALL_MODEL;

  it('draws the same picture with as little as can be', { timeout: 120_000 }, async () => {
    const whole = await open(factory, undefined, model);
    const { np, memory } = await whole(CALL);
    await whole.dispose();
    const tooLittle = await open(factory, { budget: 1000 }, model);
    const budget = await smallestBudget(tooLittle);
    await tooLittle.dispose();
    expect(budget).toBeLessThan(memory!.peakDeviceBytes);
    const pipe = await open(factory, { budget }, model);
    afterAll(() => pipe.dispose());
    const plan = pipe.memoryPlan(CALL);
    expect(plan.peakBytes).toBeLessThanOrEqual(budget);
    expect(plan.phases.map(({ phase }) => phase)).toEqual(['text', 'denoise', 'decode']);
    expect(await drawWithin(pipe, budget)).toEqual(np!.data);
  });
});

describe('within a budget', () => {
  it('keeps what fits from call to call', async () => {
    const pipe = await open(cpu(), { budget: '1GB' });
    const { phases } = pipe.memoryPlan(CALL);
    expect(phases.flatMap(({ components }) => components.map(({ isKept }) => isKept))).not.toContain(false);
    const first = await pipe(CALL);
    const second = await pipe(CALL);
    expect(second.np!.data).toEqual(first.np!.data);
    expect(second.memory!.peakDeviceBytes).toBeLessThanOrEqual(first.memory!.peakDeviceBytes * 1.01);
    expect(second.timings.compile).toBeLessThan(first.timings.compile);
    await pipe.dispose();
  });

  it('draws from pictures, other sizes and embeddings, and encodes prompts by themselves', async () => {
    const whole = await open(cpu());
    const image = { shape: [1, 64, 96, 3], data: new Float32Array(64 * 96 * 3).fill(0.5) };
    const calls = [CALL, { ...CALL, image, strength: 0.9 }, { ...CALL, height: 96, guidanceScale: 1 }];
    const expected = [];
    for (const call of calls) expected.push((await whole(call)).np!.data);
    const embeddings = await whole.encodePrompt({ prompt: 'a pear' });
    await whole.dispose();
    const budget = 2_700_000;
    const pipe = await open(cpu(), { budget });
    for (const [i, call] of [...calls.entries(), ...calls.entries()])
      expect(await drawWithin(pipe, budget, call)).toEqual(expected[i]);
    expect(await pipe.encodePrompt({ prompt: 'a pear' })).toEqual(embeddings);
    expect(pipe.notices).toEqual([]);
    await pipe.dispose();
  });

  it('cuts a large picture into tiles where nothing else fits, and says so', async () => {
    const call = { ...CALL, height: 256, width: 256, numInferenceSteps: 1 };
    const pipe = await open(cpu(), { budget: '6MB' });
    const plan = pipe.memoryPlan(call);
    expect(plan.phases.at(-1)).toMatchObject({ phase: 'decode', kind: 'blended' });
    await drawWithin(pipe, 6e6, call);
    expect(pipe.notices).toEqual([expect.stringMatching(/tiles of \d+ pixels/)]);
    await pipe.dispose();
  });

  it('switches adapters', async () => {
    const lora = fixturePath('lora/kohya.safetensors');
    const whole = await open(cpu(), undefined, SMALL_MODEL);
    const plain = await whole(CALL);
    await whole.loadLoraWeights(lora, { adapterName: 'a' });
    const adapted = await whole(CALL);
    await whole.dispose();
    const probe = await open(cpu(), { budget: 1 }, SMALL_MODEL);
    await probe.loadLoraWeights(lora, { adapterName: 'a' });
    // Sums of halves and adapters are wider than halves, on the CPU.
    const least = await smallestBudget(probe);
    await probe.dispose();
    for (const budget of [least, 1e9]) {
      const pipe = await open(cpu(), { budget }, SMALL_MODEL);
      expect(await drawWithin(pipe, budget)).toEqual(plain.np!.data);
      await pipe.loadLoraWeights(lora, { adapterName: 'a' });
      expect(await drawWithin(pipe, budget)).toEqual(adapted.np!.data);
      await pipe.disableLora();
      expect(await drawWithin(pipe, budget)).toEqual(plain.np!.data);
      await pipe.enableLora();
      expect(await drawWithin(pipe, budget)).toEqual(adapted.np!.data);
      await pipe.dispose();
    }
  });

  it('refuses options that are none, and plans without a budget', async () => {
    for (const memory of [
      { budget: 0 },
      { budget: '4 elephants' },
      { budget: '1GB', lossy: 'yes' as unknown },
      { budget: '1GB', more: 1 },
    ])
      await expect(
        // The options are wrong on purpose.
        Reflect.apply(DiffusionPipeline.fromPretrained, undefined, [MODEL, { backends: [cpu()], memory }]),
      ).rejects.toThrow(OptionError);
    const pipe = await open(cpu());
    expect(() => pipe.memoryPlan(CALL)).toThrow(OptionError);
    await pipe.dispose();
  });
});
