/** @file LoRA adapters against diffusers and peft: every key style, alone and together, on every backend. */

import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { FileFormatError } from '../../src/errors.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { cpu, DiffusionPipeline, type AdapterWeight, type BackendFactory } from '../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import '../support/nmse.ts';

const weight = v.custom<AdapterWeight>((value) => ['number', 'object'].includes(typeof value));
const caseSchema = v.strictObject({
  load: v.array(v.string()),
  set: v.optional(v.strictTuple([v.array(v.string()), v.union([v.array(weight), weight])])),
  weight: v.optional(v.number()),
  after: v.optional(v.array(v.array(v.string()))),
  nmse_to_base: v.number(),
});
const { call, models } = readFixtureJson(
  'lora/cases.json',
  v.looseObject({
    call: v.strictObject({
      prompt: v.string(),
      negative_prompt: v.string(),
      num_inference_steps: v.number(),
      guidance_scale: v.number(),
      height: v.number(),
      width: v.number(),
      seed: v.number(),
    }),
    models: v.record(v.string(), v.record(v.string(), caseSchema)),
  }),
);
const options = {
  prompt: call.prompt,
  negativePrompt: call.negative_prompt,
  numInferenceSteps: call.num_inference_steps,
  guidanceScale: call.guidance_scale,
  height: call.height,
  width: call.width,
  seed: call.seed,
  outputType: 'latent',
} as const;

const file = (name: string): string => fixturePath(`lora/${name}.safetensors`);
const backends = await presentBackends();
const expected = await openTensorFixture('lora/latents.safetensors');

/** The slow backends draw some cases, with one model. */
function isRunOn(backend: string, model: string, name = ''): boolean {
  return backend === 'cpu' || (model === 'tiny-sd' && ['', 'kohya', 'blocks-of-two', 'dora'].includes(name));
}

/** A backend that counts the programs it compiles. */
function counting(factory: BackendFactory): {
  readonly factory: BackendFactory;
  readonly count: () => number;
} {
  let compiled = 0;
  return {
    count: () => compiled,
    factory: {
      name: factory.name,
      async open(given) {
        const backend = await factory.open(given);
        if ('reason' in backend) return backend;
        return {
          ...backend,
          compile(...plan) {
            compiled++;
            return backend.compile(...plan);
          },
        };
      },
    },
  };
}

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  describe.each(Object.keys(models).filter((model) => isRunOn(backend, model)))('%s', async (model) => {
    const counted = counting(factory);
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${model}`), {
      backends: [counted.factory],
      dtype: 'f32',
    });
    afterAll(() => pipe.dispose());
    const draw = async (): Promise<Float32Array> => (await pipe(options)).latents!.data;
    let base: Float32Array = new Float32Array();

    it('draws without adapters', async () => {
      base = await draw();
      expect(base).toMatchNmse(expected.f32(`${model}.base`), 1e-6);
    }, 240_000);

    const names = Object.keys(models[model]).filter((name) => isRunOn(backend, model, name));
    it.each(names)(
      'draws "%s" as diffusers does',
      async (name) => {
        const compiled = counted.count();
        const spec = models[model][name];
        for (const adapter of spec.load) await pipe.loadLoraWeights(file(adapter), { adapterName: adapter });
        if (spec.weight !== undefined) await pipe.setAdapters(spec.load, spec.weight);
        if (spec.set) await pipe.setAdapters(...spec.set);
        for (const [method, ...adapters] of spec.after ?? []) {
          if (method === 'disable_lora') await pipe.disableLora();
          else if (method === 'enable_lora') await pipe.enableLora();
          else await pipe.deleteAdapters(adapters);
        }
        expect(await draw()).toMatchNmse(expected.f32(`${model}.${name}`), 1e-6);
        await pipe.unloadLoraWeights();
        expect(counted.count(), 'programs compiled for adapters').toBe(compiled);
      },
      240_000,
    );

    it('draws the same bits as before once all are unloaded', async () => {
      expect(await draw()).toEqual(base);
    }, 240_000);
  });
});

describe('without a case of diffusers', async () => {
  const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
    backends: [cpu()],
    dtype: 'f32',
  });
  afterAll(() => pipe.dispose());

  it('takes adapters that a prompt names for that call alone', async () => {
    await pipe.loadLoraWeights(file('kohya'), { adapterName: 'kohya' });
    await pipe.loadLoraWeights(file('peft'), { adapterName: 'peft' });
    await pipe.setAdapters(['peft'], [0.25]);
    const drawWith = async (prompt: string): Promise<Float32Array> =>
      (await pipe({ ...options, prompt, promptSyntax: 'webui' })).latents!.data;
    const alone = await drawWith('a cat');
    const named = await drawWith('a cat<lora:kohya:0.5>');
    expect(await drawWith('a cat')).toEqual(alone);
    await pipe.setAdapters(['peft', 'kohya'], [0.25, 0.5]);
    expect(await drawWith('a cat')).toEqual(named);
    expect(named).not.toEqual(alone);
    await expect(drawWith('a cat<lora:dog>')).rejects.toThrow(/dog: there is no adapter of this name/);
    const two = pipe({ ...options, prompt: ['a<lora:peft>', 'b'], promptSyntax: 'webui' });
    await expect(two).rejects.toThrow(/name different LoRAs/);
    await pipe.unloadLoraWeights();
  });

  it('refuses files that are no adapters', async () => {
    const source = (name: string, tensors: Parameters<typeof makeSafetensors>[0]) =>
      bufferSource(name, makeSafetensors(tensors));
    const module = 'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
    await expect(pipe.loadLoraWeights(source('none.safetensors', { 'a.b': { shape: [1] } }))).rejects.toThrow(
      /none\.safetensors.*a\.b/s,
    );
    const wide = {
      [`${module}.lora_A.weight`]: { shape: [2, 7] },
      [`${module}.lora_B.weight`]: { shape: [5, 2] },
    };
    await expect(pipe.loadLoraWeights(source('wide.safetensors', wide))).rejects.toThrow(FileFormatError);
    const pickle = bufferSource('style.pt', new Uint8Array([0x80, 2, 0x63]));
    await expect(pipe.loadLoraWeights(pickle)).rejects.toThrow(FileFormatError);
    expect(pipe.getListAdapters()).toEqual({});
  });
});
