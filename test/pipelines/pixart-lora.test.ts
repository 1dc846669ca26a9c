/** @file LoRA adapters of PixArt: of its transformer and its text encoder, in the key styles of its trainers. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { blobModelSource, cpu, DiffusionPipeline, FileFormatError } from '../../src/index.ts';
import { pixartLoraCases, pixartLoraOptions } from '../support/drawn/pixart-lora.ts';
import { pixartModel } from '../support/drawn/pixart.ts';
import { testModels } from '../support/drawn/test-drawn.ts';
import { presentBackends } from '../support/backends.ts';
import { fixturePath } from '../support/fixtures.ts';

testModels(
  await presentBackends(),
  pixartLoraCases,
  (backend, _model, name) => backend === 'cpu' || (backend === 'reference' && name === 'prefixed'),
);

it('finds the alphas of files that PEFT saved in the configuration beside them', async () => {
  const pipe = await DiffusionPipeline.fromPretrained(await pixartModel('tiny-pixart'), {
    backends: [cpu()],
  });
  const draw = async () =>
    (await pipe({ ...pixartLoraOptions, prompt: '', outputType: 'latent' })).latents!.data;
  const folder = fixturePath('lora/pixart-peft');
  const read = (name: string): Blob => new Blob([readFileSync(`${folder}/${name}`)]);
  const config = { 'adapter_config.json': read('adapter_config.json') };
  const source = (files: Readonly<Record<string, Blob>>) =>
    blobModelSource(
      'peft',
      new Map(Object.entries({ ...files, 'adapter_model.safetensors': read('adapter_model.safetensors') })),
    );

  await pipe.loadLoraWeights(folder, { adapterName: 'folder' });
  const drawn = await draw();
  await pipe.loadLoraWeights(`${folder}/adapter_model.safetensors`, { adapterName: 'file' });
  expect(await draw()).toEqual(drawn);
  await pipe.loadLoraWeights(source(config), { adapterName: 'source' });
  expect(await draw()).toEqual(drawn);
  expect(pipe.notices.join()).not.toMatch(/adapter_config/);

  await pipe.loadLoraWeights(source({}), { adapterName: 'alone' });
  expect(await draw()).not.toEqual(drawn);
  expect(pipe.notices.join()).toMatch(/no adapter_config\.json beside it/);
  const broken = source({ 'adapter_config.json': new Blob(['{"lora_alpha": "five"}']) });
  await expect(pipe.loadLoraWeights(broken)).rejects.toThrow(FileFormatError);
  await pipe.setAdapters('source', { transformer: 0 });
  await pipe.unloadLoraWeights();
  await pipe.dispose();
});
