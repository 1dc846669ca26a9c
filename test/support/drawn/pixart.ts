/** @file The cases of test/fixtures/pipelines/pixart.json. */
import * as v from 'valibot';
import { DiffusionPipeline, type CallOptions, type ModelSource } from '../../../src/index.ts';
import { nodeFolderSource } from '../../../src/platform/node-file-source.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import {
  camelCased,
  drawTensor,
  placed,
  schedulerSchema,
  setScheduler,
  type DrawnCases,
} from './drawn-cases.ts';

const caseSchema = v.looseObject({
  scheduler: schedulerSchema,
});
export const pixartSpecs = readFixtureJson(
  'pipelines/pixart.json',
  v.record(v.string(), v.record(v.string(), caseSchema)),
);
export const pixartTensors = await openTensorFixture('pipelines/pixart.safetensors');

/** The folders of a model: its transformer, the VAE of tiny-sd, and the rest of tiny-pixart. */
export async function pixartModel(name: string): Promise<ModelSource> {
  const open = (folder: string) => nodeFolderSource(fixturePath(`pipelines/${folder}`));
  const [own, vae, shared] = await Promise.all([open(name), open('tiny-sd'), open('tiny-pixart')]);
  const folderOf = (path: string): ModelSource =>
    path.startsWith('transformer/') ? own : path.startsWith('vae/') ? vae : shared;
  return {
    name,
    open: (path, signal) => folderOf(path).open(path, signal),
    exists: (path, signal) => folderOf(path).exists(path, signal),
    list: () => Promise.resolve(undefined),
  };
}

/** diffusers' keyword arguments as options of a call. */
export function pixartOptions({
  scheduler: _scheduler,
  ...rest
}: v.InferOutput<typeof caseSchema>): CallOptions {
  return camelCased(rest);
}

/** `MODEL.CASE` */
export const pixartCases: DrawnCases = {
  names: Object.entries(pixartSpecs).flatMap(([model, cases]) =>
    Object.keys(cases).map((name) => `${model}.${name}`),
  ),
  expected: (name) => ({ shape: pixartTensors.shape(name), data: pixartTensors.f32(name) }),
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(await pixartModel(name.split('.')[0]), placed(setup)),
  async draw(pipe, name) {
    const [model, own] = name.split('.');
    const spec = pixartSpecs[model][own];
    setScheduler(pipe, spec.scheduler);
    return drawTensor(pipe, pixartOptions(spec));
  },
};
