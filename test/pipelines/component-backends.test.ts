/** @file Components of a pipeline on backends of their own: the same pictures, budgets for each device, and what goes wrong. */

import { afterAll, describe, expect, it } from 'vitest';
import {
  BackendUnavailableError,
  cpu,
  DeviceLostError,
  DiffusionPipeline,
  OptionError,
  OutOfMemoryError,
  reference,
  type BackendFactory,
  type FromPretrainedOptions,
} from '../../src/index.ts';
import type { Backend } from '../../src/backends/backend.ts';
import { DRAWN_SUITES } from '../support/drawn/suites.ts';
import type { DrawnCases } from '../support/drawn/drawn-cases.ts';
import { fixturePath } from '../support/fixtures.ts';
import '../support/nmse.ts';

const MODEL = fixturePath('pipelines/tiny-sd');
const XL_MODEL = fixturePath('pipelines/tiny-sdxl');
const CALL = { prompt: 'a red apple', height: 64, width: 64, numInferenceSteps: 2, seed: 1 } as const;

/** A backend that notes which graphs it runs, and how often it is opened and disposed of; `change` may break it. */
function watched(factory: BackendFactory, change: (backend: Backend) => Partial<Backend> = () => ({})) {
  const graphs = new Set<string>();
  const seen = { opened: 0, disposed: 0, graphs };
  const watching: BackendFactory = {
    name: factory.name,
    async open(options) {
      const backend = await factory.open(options);
      if ('reason' in backend) return backend;
      seen.opened++;
      return {
        ...backend,
        async compile(plan, compiling) {
          graphs.add(plan.name);
          return backend.compile(plan, compiling);
        },
        ...change(backend),
        dispose() {
          seen.disposed++;
          backend.dispose();
        },
      };
    },
  };
  return { factory: watching, seen };
}

const open = (options: FromPretrainedOptions, model = MODEL) =>
  DiffusionPipeline.fromPretrained(model, { backends: [cpu()], dtype: 'f32', ...options });

describe('with the text encoders and the VAE on another backend', () => {
  it.each<[suite: keyof typeof DRAWN_SUITES, name: string]>([
    ['lora', 'tiny-sd.kohya'],
    ['guidance', 'ip-control'],
    ['guidance', 'hires'],
    ['images', 'tiny-sd.inpaint'],
    ['models', 'tiny-refiner.take-over'],
    ['pixart', 'tiny-pixart.defaults'],
  ])('draws %s "%s" as diffusers does', { timeout: 120_000 }, async (suite, name) => {
    const cases: DrawnCases = DRAWN_SUITES[suite];
    const unet = watched(cpu());
    const rest = watched(reference());
    const pipe = await cases.open(name, {
      factory: unet.factory,
      dtype: 'f32',
      componentBackends: { textEncoder: rest.factory, vae: rest.factory },
    });
    const { data } = await cases.draw(pipe, name);
    expect(data).toMatchNmse(cases.expected(name).data, 1e-6);
    await pipe.dispose();
    expect([...unet.seen.graphs].filter((graph) => !graph.startsWith('denoise'))).toEqual([]);
    expect([...rest.seen.graphs].filter((graph) => graph.startsWith('denoise'))).toEqual([]);
    expect(rest.seen.graphs.size).toBeGreaterThan(0);
    for (const { seen } of [unet, rest]) expect(seen).toMatchObject({ opened: 1, disposed: 1 });
  });
});

describe('with the UNet alone on another backend', () => {
  it('draws the same picture, and tells what each took', { timeout: 120_000 }, async () => {
    const whole = await open({});
    const expected = await whole({ ...CALL, outputType: 'np' });
    await whole.dispose();
    // WebGPU has this test in memory.test.ts, where its kernels are compiled anyway.
    const pipe = await open({ componentBackends: { unet: reference() } });
    const { np, memory, otherMemory } = await pipe({ ...CALL, outputType: 'np' });
    expect(np!.data).toMatchNmse(expected.np!.data, 1e-6);
    expect(pipe.backend.name).toBe('reference');
    expect(pipe.componentBackends.vae.name).toBe('cpu');
    expect(memory, 'the reference counts no bytes').toBeUndefined();
    expect(otherMemory).toMatchObject([{ backend: 'cpu', components: ['text_encoder', 'vae'] }]);
    await pipe.dispose();
  });
});

describe('placing components', () => {
  it('opens a value once, and leaves out backends that no component is on', async () => {
    const shared = watched(cpu());
    const encoder = watched(reference());
    const unused = watched(reference());
    const pipe = await open(
      {
        backends: [unused.factory],
        componentBackends: {
          unet: shared.factory,
          vae: [shared.factory, unused.factory],
          textEncoder: shared.factory,
          textEncoder2: encoder.factory,
        },
      },
      XL_MODEL,
    );
    const { images } = await pipe({ ...CALL, numInferenceSteps: 1 });
    expect(images).toHaveLength(1);
    expect([...encoder.seen.graphs]).toEqual(['text_encoder']);
    expect(pipe.componentBackends.textEncoder2.name).toBe('reference');
    expect(pipe.componentBackends.imageEncoder.name).toBe('cpu');
    await pipe.dispose();
    expect(shared.seen).toMatchObject({ opened: 1, disposed: 1 });
    expect(encoder.seen).toMatchObject({ opened: 1, disposed: 1 });
    expect(unused.seen.opened).toBe(0);
  });

  it('says which backend was passed over for which component, and what is not used', async () => {
    const pipe = await open({ componentBackends: { vae: [missing, cpu()], textEncoder2: reference() } });
    expect(pipe.notices).toEqual([
      'missing is not used for vae: there is none. Get one',
      'componentBackends.textEncoder2 is not used: the model has no second text encoder',
    ]);
    await pipe.dispose();
  });

  it('names the component that there is no backend for, and leaves nothing open', async () => {
    const { factory, seen } = watched(cpu());
    const opening = open({ backends: [factory], componentBackends: { vae: missing } });
    await expect(opening).rejects.toBeInstanceOf(BackendUnavailableError);
    await expect(opening).rejects.toThrow(/componentBackends\.vae: .*there is none.*componentBackends\.vae/);
    expect(seen).toMatchObject({ opened: 1, disposed: 1 });
  });

  it.each<[field: string, value: unknown, remedy: RegExp]>([
    ['componentBackends', [cpu()], /textEncoder/],
    ['componentBackends.vea', { vea: cpu() }, /Did you mean vae/],
    ['componentBackends.controlnet', { controlnet: cpu() }, /one graph with the UNet.*unet/],
    ['componentBackends.transformer', { transformer: cpu() }, /called unet/],
    ['componentBackends.vae', { vae: 'cpu' }, /cpu\(\)/],
    ['componentBackends.vae', { vae: [] }, /cpu\(\)/],
  ])('refuses %s', async (field, componentBackends, message) => {
    const { factory, seen } = watched(cpu());
    // The option is wrong on purpose.
    const options: object = { backends: [factory], componentBackends };
    const opening = DiffusionPipeline.fromPretrained(MODEL, options);
    await expect(opening).rejects.toBeInstanceOf(OptionError);
    await expect(opening).rejects.toMatchObject({ field });
    await expect(opening).rejects.toThrow(message);
    expect(seen.opened).toBe(0);
  });

  it('tells of a device that is lost, whichever it is, and can be disposed of', async () => {
    const lost = watched(cpu(), () => ({
      compile: () => Promise.reject(new DeviceLostError('the card fell off', { remedy: 'Put it back' })),
    }));
    const unet = watched(cpu());
    const pipe = await open({ backends: [unet.factory], componentBackends: { vae: lost.factory } });
    await expect(pipe(CALL)).rejects.toBeInstanceOf(DeviceLostError);
    // The others still work.
    const { latents } = await pipe({ ...CALL, outputType: 'latent' });
    expect(latents!.data.every(Number.isFinite)).toBe(true);
    await pipe.dispose();
    for (const { seen } of [lost, unet]) expect(seen).toMatchObject({ opened: 1, disposed: 1 });
  });
});

describe('budgets', () => {
  const call = { ...CALL, outputType: 'np' } as const;
  const vae = cpu();
  const pipes: DiffusionPipeline[] = [];
  const load = async (memory: FromPretrainedOptions['memory']): Promise<DiffusionPipeline> => {
    const pipe = await open({ componentBackends: { vae }, ...(memory && { memory }) }, XL_MODEL);
    pipes.push(pipe);
    return pipe;
  };
  afterAll(async () => {
    for (const pipe of pipes) await pipe.dispose();
  });

  it('hold for each device by itself', async () => {
    const plan = (await load({ budget: '1GB' })).memoryPlan(call);
    expect(plan.phases.map(({ phase }) => phase)).toEqual(['text', 'denoise']);
    expect(plan.others).toMatchObject([{ backend: 'cpu', phases: [{ phase: 'decode' }] }]);
    const [{ peakBytes }] = plan.others;
    const expected = await (await load(undefined))(call);
    // Both would be too little for everything on one device.
    const own = await load({ budget: plan.peakBytes, componentBudgets: { vae: peakBytes } });
    const { np, memory, otherMemory } = await own(call);
    expect(np!.data).toEqual(expected.np!.data);
    expect(memory!.peakDeviceBytes).toBeLessThanOrEqual(plan.peakBytes * 1.05);
    expect(otherMemory![0].peakDeviceBytes).toBeLessThanOrEqual(peakBytes * 1.05);
    expect(own.notices).toEqual([]);
  });

  it('that are too small are named, by the device', async () => {
    for (const [memory, field] of [
      [{ budget: '1GB', componentBudgets: { vae: 1000 } }, 'memory.componentBudgets.vae'],
      [{ budget: 1000, componentBudgets: { vae: '1GB' } }, 'memory.budget'],
    ] as const) {
      const drawing = (await load(memory))(call);
      await expect(drawing).rejects.toBeInstanceOf(OutOfMemoryError);
      await expect(drawing).rejects.toMatchObject({ field });
    }
  });

  it('of one device must be one', async () => {
    const componentBudgets = { unet: '1GB', textEncoder: '2GB' };
    await expect(load({ budget: '1GB', componentBudgets })).rejects.toMatchObject({
      field: 'memory.componentBudgets.textEncoder',
    });
    await expect(load({ budget: '1GB', componentBudgets: { vae: 'much' } })).rejects.toMatchObject({
      field: 'memory.componentBudgets.vae',
    });
  });
});

const missing: BackendFactory = {
  name: 'missing',
  open: () => Promise.resolve({ backend: 'missing', reason: 'there is none', remedy: 'Get one' }),
};
