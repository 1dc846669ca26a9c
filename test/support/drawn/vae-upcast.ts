/**
 * @file The cases of test/fixtures/pipelines/vae-upcast.json: SDXL with a VAE whose values leave the range of f16, of which
 * only they are in f32. The VAE is that of tiny-sdxl, louder, as make_vae_upcast.py makes it.
 */
import * as v from 'valibot';
import { blobModelSource, cpu, DiffusionPipeline, type ModelSource } from '../../../src/index.ts';
import { makeSafetensors, type TestTensor } from '../../loaders/make-safetensors.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { arrayOf } from '../pictures.ts';
import { camelCased, placed, type DrawnCases } from './drawn-cases.ts';

const LOUDNESS = 2 ** 15;
const LOUD =
  /coder\.conv_in\.|\.conv[12]\.|\.to_out\.0\.|\.(conv_shortcut|downsamplers\.0\.conv|upsamplers\.0\.conv)\.bias$/;

const cases = readFixtureJson('pipelines/vae-upcast.json', v.record(v.string(), v.looseObject({})));
const tensors = await openTensorFixture('pipelines/vae-upcast.safetensors');

/** @param forceUpcast as its configuration says */
async function loudVae(forceUpcast: boolean): Promise<ModelSource> {
  const own = await openTensorFixture('pipelines/tiny-sdxl/vae/diffusion_pytorch_model.safetensors');
  const weights = own.names.map((name): [string, TestTensor] => {
    const values = own.f32(name).map((value) => (LOUD.test(name) ? value * LOUDNESS : value));
    return [name, { shape: own.shape(name), data: new Uint8Array(values.buffer) }];
  });
  const config = {
    ...readFixtureJson('pipelines/tiny-sdxl/vae/config.json', v.looseObject({})),
    force_upcast: forceUpcast,
  };
  const files = {
    'config.json': JSON.stringify(config),
    'diffusion_pytorch_model.safetensors': Uint8Array.from(makeSafetensors(Object.fromEntries(weights))),
  };
  return blobModelSource(
    'loud',
    new Map(Object.entries(files).map(([name, data]) => [name, new Blob([data])])),
  );
}

export const vaeUpcastCases: DrawnCases = {
  names: Object.keys(cases),
  expected: (name) => ({ shape: tensors.shape(name), data: tensors.f32(name) }),
  /** Of the name `plain`: with no regard to what overflows. */
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sdxl'), {
      ...placed(setup),
      // In f16 the VAE alone is; the rest would only take time.
      ...(setup.dtype === 'f16' && {
        dtype: { unet: 'f32', textEncoder: 'f32', vae: 'f16' },
        componentBackends: { unet: cpu(), textEncoder: cpu() },
      }),
      vae: await loudVae(name !== 'plain'),
      ...(name !== 'plain' && { vaeUpcast: 'overflow' }),
    }),
  async draw(pipe, name) {
    const { class: _class, ...call } = cases[name === 'plain' ? 'decode' : name];
    const { np, latents } = await pipe({
      prompt: '',
      ...camelCased(call),
      ...('strength' in call && { image: arrayOf(tensors, 'image', false) }),
      seed: 3,
    });
    return (latents ?? np)!;
  },
};
