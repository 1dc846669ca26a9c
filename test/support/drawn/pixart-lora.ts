/** @file The cases of test/fixtures/lora/pixart.json: adapters of PixArt's transformer and of its text encoder. */
import * as v from 'valibot';
import { DiffusionPipeline } from '../../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { camelCased, drawTensor, placed, type DrawnCases } from './drawn-cases.ts';
import { pixartModel } from './pixart.ts';

const { call, cases } = readFixtureJson(
  'lora/pixart.json',
  v.object({ call: v.looseObject({}), cases: v.record(v.string(), v.nullable(v.string())) }),
);
const tensors = await openTensorFixture('lora/pixart-latents.safetensors');

/** What all cases draw. */
export const pixartLoraOptions = camelCased(call);

/** `tiny-pixart.CASE`; what a case loads is unloaded again. */
export const pixartLoraCases: DrawnCases = {
  names: Object.keys(cases).map((name) => `tiny-pixart.${name}`),
  expected: (name) => {
    const own = name.split('.')[1];
    return { shape: tensors.shape(own), data: tensors.f32(own) };
  },
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(await pixartModel(name.split('.')[0]), placed(setup)),
  async draw(pipe, name) {
    const file = cases[name.split('.')[1]];
    if (file !== null) await pipe.loadLoraWeights(fixturePath(`lora/${file}`));
    const drawn = await drawTensor(pipe, pixartLoraOptions);
    await pipe.unloadLoraWeights();
    return drawn;
  },
};
