/** @file LoRA adapters against diffusers and peft: every key style, alone and together, on every backend. */

import { afterAll, describe, expect, it } from 'vitest';
import { FileFormatError } from '../../src/errors.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { cpu, DiffusionPipeline, type BackendFactory } from '../../src/index.ts';
import { loraCases, loraFile, loraOptions } from '../support/drawn/lora.ts';
import { fixturePath, openTensorFixture } from '../support/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import '../support/nmse.ts';

const backends = await presentBackends();

const MODELS = [...new Set(loraCases.names.map((name) => name.split('.')[0]))];
const namesOf = (model: string): string[] =>
  loraCases.names.filter((name) => name.startsWith(`${model}.`)).map((name) => name.slice(model.length + 1));

/** The slow backends draw some cases, with one model. */
function isRunOn(backend: string, model: string, name = 'base'): boolean {
  return (
    backend === 'cpu' || (model === 'tiny-sd' && ['base', 'kohya', 'blocks-of-two', 'dora'].includes(name))
  );
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
  describe.each(MODELS.filter((model) => isRunOn(backend, model)))('%s', async (model) => {
    const counted = counting(factory);
    const pipe = await loraCases.open(`${model}.base`, { factory: counted.factory, dtype: 'f32' });
    afterAll(() => pipe.dispose());
    let base: Float32Array = new Float32Array();

    const names = namesOf(model).filter((name) => isRunOn(backend, model, name));
    it.each(names)(
      'draws "%s" as diffusers does',
      async (name) => {
        const compiled = counted.count();
        const { data } = await loraCases.draw(pipe, `${model}.${name}`);
        expect(data).toMatchNmse(loraCases.expected(`${model}.${name}`).data, 1e-6);
        if (name === 'base') base = data;
        else expect(counted.count(), 'programs compiled for adapters').toBe(compiled);
      },
      240_000,
    );

    it('draws the same bits as before once all are unloaded', async () => {
      expect((await loraCases.draw(pipe, `${model}.base`)).data).toEqual(base);
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
    await pipe.loadLoraWeights(loraFile('kohya'), { adapterName: 'kohya' });
    await pipe.loadLoraWeights(loraFile('peft'), { adapterName: 'peft' });
    await pipe.setAdapters(['peft'], [0.25]);
    const drawWith = async (prompt: string): Promise<Float32Array> =>
      (await pipe({ ...loraOptions, prompt, promptSyntax: 'webui' })).latents!.data;
    const alone = await drawWith('a cat');
    const named = await drawWith('a cat<lora:kohya:0.5>');
    expect(await drawWith('a cat')).toEqual(alone);
    await pipe.setAdapters(['peft', 'kohya'], [0.25, 0.5]);
    expect(await drawWith('a cat')).toEqual(named);
    expect(named).not.toEqual(alone);
    await expect(drawWith('a cat<lora:dog>')).rejects.toThrow(/dog: there is no adapter of this name/);
    const two = pipe({ ...loraOptions, prompt: ['a<lora:peft>', 'b'], promptSyntax: 'webui' });
    await expect(two).rejects.toThrow(/name different LoRAs/);
    await pipe.unloadLoraWeights();
  });

  it('draws "peft-lokr" as PEFT does, whose layers of two whole factors tell no rank', async () => {
    await pipe.loadLoraWeights(fixturePath('lora/peft-lokr/adapter_model.safetensors'));
    const drawn = await pipe(loraOptions);
    const expected = await openTensorFixture('lora/peft-lokr.safetensors');
    expect(drawn.latents!.data).toMatchNmse(expected.f32('latents'), 1e-6);
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
