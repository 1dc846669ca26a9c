/** @file The cases of test/fixtures/lora/cases.json: adapters of every key style. */
import * as v from 'valibot';
import { DiffusionPipeline, type AdapterWeight } from '../../../src/index.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { camelCased, drawTensor, placed, type DrawnCases } from './drawn-cases.ts';

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
    call: v.looseObject({}),
    models: v.record(v.string(), v.record(v.string(), caseSchema)),
  }),
);
const tensors = await openTensorFixture('lora/latents.safetensors');

/** What all cases draw. */
export const loraOptions = { ...camelCased(call), outputType: 'latent' } as const;

/** The path of a file of adapters. */
export const loraFile = (name: string): string => fixturePath(`lora/${name}.safetensors`);

/** `MODEL.CASE`, with `MODEL.base` for the model without adapters; what a case loads is unloaded again. */
export const loraCases: DrawnCases = {
  names: Object.entries(models).flatMap(([model, cases]) =>
    ['base', ...Object.keys(cases)].map((name) => `${model}.${name}`),
  ),
  expected: (name) => ({ shape: tensors.shape(name), data: tensors.f32(name) }),
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${name.split('.')[0]}`), placed(setup)),
  async draw(pipe, name) {
    const [model, own] = name.split('.');
    const { load, set, weight: all, after = [] } = models[model][own] ?? { load: [] };
    for (const adapter of load) await pipe.loadLoraWeights(loraFile(adapter), { adapterName: adapter });
    if (all !== undefined) await pipe.setAdapters(load, all);
    if (set) await pipe.setAdapters(...set);
    for (const [method, ...adapters] of after) {
      if (method === 'disable_lora') await pipe.disableLora();
      else if (method === 'enable_lora') await pipe.enableLora();
      else await pipe.deleteAdapters(adapters);
    }
    const drawn = await drawTensor(pipe, loraOptions);
    await pipe.unloadLoraWeights();
    return drawn;
  },
};
