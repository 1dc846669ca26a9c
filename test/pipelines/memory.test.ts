/** @file Budgets of memory: measured bytes stay within them, and pictures stay the same bit for bit. */

import { describe, expect, it, vi } from 'vitest';
import * as v from 'valibot';
import {
  cpu,
  DiffusionPipeline,
  OptionError,
  OutOfMemoryError,
  webgpu,
  type BackendFactory,
  type CallOptions,
  type MemoryOption,
  type ModelSource,
} from '../../src/index.ts';
import { WebGpuWeights } from '../../src/backends/webgpu/weights.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { countingGpu } from '../support/counting-gpu.ts';
import { guidanceCases } from '../support/drawn/guidance.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import { camelCase } from '../support/pictures.ts';
import { sharedBackend } from '../support/shared-backend.ts';
import '../support/nmse.ts';

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

/** The smallest budget that works for a call, as the error for one that does not says. */
async function smallestBudget(pipe: Pipeline, call: Parameters<Pipeline>[0] = CALL): Promise<number> {
  return leastOf(pipe(call));
}

async function leastOf(drawing: Promise<unknown>): Promise<number> {
  const error: unknown = await drawing.then(
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

/** What a function gives, or undefined where there is too little memory for it. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof OutOfMemoryError) return undefined;
    throw error;
  }
}

/** Software adapters are slow in compiling kernels. */
const WEBGPU = sharedBackend(webgpu({ adapter: 'any' }));

const lossy = readFixtureJson('pipelines/lossy.json', v.object({ call: v.record(v.string(), v.unknown()) }));
const expected = await openTensorFixture('pipelines/lossy.safetensors');
const LOSSY_CALL: CallOptions = {
  ...Object.fromEntries(Object.entries(lossy.call).map(([name, value]) => [camelCase(name), value])),
  outputType: 'latent',
};

describe.each([
  { name: 'cpu', factory: cpu(), model: 'tiny-sdxl' },
  { name: 'webgpu', factory: WEBGPU, model: 'tiny-sd' },
])('on $name', { timeout: 240_000 }, ({ name, factory, model: folder }) => {
  const model = fixturePath(`pipelines/${folder}`);
  const call = { ...LOSSY_CALL, outputType: name === 'cpu' ? 'np' : 'latent', returnLatents: true } as const;

  it('draws the same picture with as little as can be', async () => {
    const whole = await open(factory, undefined, model);
    const { latents, np, memory } = await whole(call);
    await whole.dispose();
    expect(latents!.data).toMatchNmse(expected.f32(`${folder}.plain`), 1e-6);
    const tooLittle = await open(factory, { budget: 1000 }, model);
    const budget = await smallestBudget(tooLittle, call);
    await tooLittle.dispose();
    expect(budget).toBeLessThan(memory!.peakDeviceBytes);
    const pipe = await open(factory, { budget }, model);
    const plan = pipe.memoryPlan(call);
    expect(plan.peakBytes).toBeLessThanOrEqual(budget);
    expect(plan.phases.slice(0, 2).map(({ phase }) => phase)).toEqual(['text', 'denoise']);
    const small = await pipe(call);
    expect(small.memory!.peakDeviceBytes).toBeLessThanOrEqual(budget * 1.05);
    expect(small.latents!.data).toEqual(latents!.data);
    expect(small.np?.data).toEqual(np?.data);
    const [unet] = plan.phases[1].components;
    expect(unet.weights).toBe(name === 'cpu' ? 'whole' : 'streamed');
    if (name === 'webgpu') expect(small.memory!.peakHostBytes).toBeGreaterThan(unet.movedBytes);
    await pipe.dispose();
  });

  it('keeps within it with nothing but the UNet there', async () => {
    const elsewhere = cpu();
    const placed = await DiffusionPipeline.fromPretrained(model, {
      backends: [factory],
      componentBackends: { vae: elsewhere, textEncoder: elsewhere },
      memory: { budget: 1, componentBudgets: { vae: '1GB' } },
    });
    const budget = await smallestBudget(placed, call);
    await placed.dispose();
    const pipe = await DiffusionPipeline.fromPretrained(model, {
      backends: [factory],
      componentBackends: { vae: elsewhere, textEncoder: elsewhere },
      memory: { budget, componentBudgets: { vae: '1GB' } },
    });
    const { latents, np, memory, otherMemory } = await pipe({ ...call, outputType: 'np' });
    expect(latents!.data).toMatchNmse(expected.f32(`${folder}.plain`), 1e-6);
    expect(np!.data.every(Number.isFinite)).toBe(true);
    expect(memory!.peakDeviceBytes).toBeLessThanOrEqual(budget * 1.05);
    expect(otherMemory).toMatchObject([{ backend: 'cpu' }]);
    await pipe.dispose();
  });

  it('holds weights as float8 where it may, as layerwise casting does', async () => {
    const roomy = await open(factory, { budget: '1GB', lossy: true }, model);
    const plan = roomy.memoryPlan(call);
    expect(plan.phases.map(({ kind }) => kind)).not.toContain('lossy');
    await roomy.dispose();
    const [unet] = plan.phases[1].components;
    const exact = await open(factory, { budget: 1 }, model);
    // Where weights can be streamed, less would do than to have them whole.
    const most = name === 'cpu' ? await smallestBudget(exact, call) : unet.weightBytes + unet.workBytes;
    await exact.dispose();
    const budgets = [0.99, 0.9, 0.8].map((share) => Math.floor(share * most));
    const kinds: string[] = [];
    for (const budget of budgets) {
      const pipe = await open(factory, { budget, lossy: true }, model);
      const planned = attempt(() => pipe.memoryPlan(call));
      kinds.push(planned?.phases[1].kind ?? 'none');
      await pipe.dispose();
    }
    expect(kinds).toContain('lossy');
    const pipe = await open(factory, { budget: budgets[kinds.indexOf('lossy')], lossy: true }, model);
    const { latents, memory } = await pipe(call);
    expect(latents!.data).toMatchNmse(expected.f32(`${folder}.cast`), 1e-6);
    expect(memory!.peakDeviceBytes).toBeLessThanOrEqual(1.05 * budgets[kinds.indexOf('lossy')]);
    expect(pipe.notices).toEqual([expect.stringMatching(/float8/)]);
    await pipe.dispose();
  });
});

describe('the host', () => {
  const call = { ...LOSSY_CALL, outputType: 'latent' } as const;
  const lora = fixturePath('lora/kohya.safetensors');

  /** A model whose reads are counted. */
  async function counted(memory?: MemoryOption) {
    const folder = await nodeFolderSource(SMALL_MODEL);
    const read = { bytes: 0 };
    const model: ModelSource = {
      ...folder,
      async open(path, signal) {
        const file = await folder.open(path, signal);
        if (!file) return undefined;
        return {
          name: file.name,
          size: file.size,
          close: async () => file.close?.(),
          read(offset, length, stop) {
            read.bytes += length;
            return file.read(offset, length, stop);
          },
        };
      },
    };
    const backends = [WEBGPU];
    const pipe = await DiffusionPipeline.fromPretrained(model, { backends, ...(memory && { memory }) });
    return { pipe, read };
  }

  it(
    'holds what is not on the device, and nothing is read or packed twice',
    { timeout: 240_000 },
    async () => {
      const whole = await counted();
      const plain = await whole.pipe(call);
      await whole.pipe.dispose();
      const elsewhere = await open(cpu(), undefined, SMALL_MODEL);
      await elsewhere.loadLoraWeights(lora);
      const adapted = await elsewhere(call);
      await elsewhere.dispose();
      const tooLittle = await counted({ budget: 1 });
      const budget = await smallestBudget(tooLittle.pipe, call);
      await tooLittle.pipe.dispose();
      const { pipe, read } = await counted({ budget, hostBudget: '1GB' });
      const { hostBytes, phases } = pipe.memoryPlan(call);
      expect(phases[1].components).toMatchObject([{ weights: 'streamed', isKept: false }]);
      const packed = vi.spyOn(WebGpuWeights.prototype, 'packed');
      const first = await pipe(call);
      expect(packed).toHaveBeenCalled();
      expect(first.latents!.data).toEqual(plain.latents!.data);
      packed.mockClear();
      read.bytes = 0;
      const second = await pipe(call);
      expect(second.latents!.data).toEqual(plain.latents!.data);
      expect(read.bytes).toBe(0);
      expect(packed).not.toHaveBeenCalled();
      expect(second.memory!.peakHostBytes).toBeGreaterThan(0.8 * hostBytes);
      expect(second.memory!.peakHostBytes).toBeLessThan(1.2 * hostBytes);
      await pipe.loadLoraWeights(lora);
      expect((await pipe(call)).latents!.data).toMatchNmse(adapted.latents!.data, 1e-6);
      await pipe.unloadLoraWeights();
      expect((await pipe(call)).latents!.data).toEqual(plain.latents!.data);
      await pipe.dispose();
      packed.mockRestore();
      const frugal = await counted({ budget, hostBudget: 0 });
      expect(frugal.pipe.memoryPlan(call).hostBytes).toBeLessThan(hostBytes);
      await frugal.pipe.dispose();
    },
  );
});

describe('by the driver', () => {
  it('takes no more than a budget, call for call', async () => {
    const driver = countingGpu();
    const factory = webgpu({ gpu: driver.gpu, autotune: false, mappedMemory: 'host' });
    const call = { ...CALL, outputType: 'latent' } as const;
    const tooLittle = await open(factory, { budget: 1 });
    // All components together take far more: one has to be gone before the next comes.
    const budget = await smallestBudget(tooLittle, call);
    await tooLittle.dispose();
    const pipe = await open(factory, { budget });
    for (let i = 0; i < 2; i++) {
      driver.peakBytes = driver.bytes;
      const { memory } = await pipe(call);
      expect(driver.peakBytes).toBeLessThanOrEqual(1.05 * budget);
      expect(driver.peakBytes).toBeGreaterThan(0.3 * budget);
      expect(memory!.peakDeviceBytes).toBeLessThanOrEqual(1.05 * budget);
    }
    await pipe.dispose();
  });
});

describe('within a budget', () => {
  it.each(['ip', 'ip-xl', 'ip-control', 'ip-inpaint', 'pag-xl-control-image', 'freeu-control-pag', 'cache'])(
    'draws "%s" as diffusers does with as little as can be',
    async (name) => {
      const setup = { factory: cpu(), dtype: 'f32' } as const;
      const tooLittle = await guidanceCases.open(name, { ...setup, memory: { budget: 1 } });
      const budget = await leastOf(guidanceCases.draw(tooLittle, name));
      await tooLittle.dispose();
      const pipe = await guidanceCases.open(name, { ...setup, memory: { budget } });
      const { data } = await guidanceCases.draw(pipe, name);
      expect(data).toMatchNmse(guidanceCases.expected(name).data, 1e-6);
      // Of networks as small as these, what comes with each weight and launch is more than a twentieth.
      expect(pipe.backend.memory!.peakDeviceBytes).toBeLessThanOrEqual(budget * 1.2);
      await pipe.dispose();
    },
  );

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
      { budget: '1GB', hostBudget: 'much' },
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
