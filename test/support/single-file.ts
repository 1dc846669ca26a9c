/** @file The checkpoints that test/fixtures/single-file describes. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import * as v from 'valibot';
import { bufferSource, type ByteSource } from '../../src/loaders/byte-source.ts';
import { openWeights } from '../../src/loaders/component.ts';
import type { ModelSource } from '../../src/loaders/model-source.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { STORED_DTYPES } from '../../src/tensor/dtype.ts';
import { makeSafetensors, rawSafetensors, type TestTensor } from '../loaders/make-safetensors.ts';
import { fixturePath } from './fixtures.ts';

function readGzipped<Output>(name: string, schema: v.GenericSchema<unknown, Output>): Output {
  const bytes = gunzipSync(readFileSync(fixturePath(`single-file/${name}.json.gz`)));
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  return v.parse(schema, value);
}

const recipesSchema = v.record(
  v.string(),
  v.record(
    v.string(),
    v.union([
      v.tuple([v.picklist(['same', 'conv', 'transpose']), v.string()]),
      v.tuple([v.literal('cat'), v.string(), v.string(), v.string()]),
    ]),
  ),
);
const shapesSchema = v.record(v.string(), v.record(v.string(), v.array(v.number())));

/** Names of the published models whose tensor lists are there. */
const full = readGzipped('full', shapesSchema);
export const FULL_MODELS: readonly string[] = Object.keys(full);

/** The beginning of a published checkpoint; its tensors cannot be read. */
export function publishedCheckpoint(model: string): ByteSource & { readonly head: Uint8Array } {
  let at = 0;
  const header: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(full[model])) {
    const bytes = shape.reduce((product, size) => product * size, STORED_DTYPES.F16);
    header[name] = { dtype: 'F16', shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const head = rawSafetensors(JSON.stringify(header));
  return { ...bufferSource(model, head), name: `${model}.safetensors`, size: head.length + at, head };
}

/** The tiny models that are there as checkpoints and as folders. */
export const TINY_MODELS = ['tiny-sd', 'tiny-sd21', 'tiny-sdxl'] as const;

/** The diffusers folder of a tiny model; tiny-sd21 is put together from other fixtures. */
export async function tinyFolder(model: (typeof TINY_MODELS)[number]): Promise<ModelSource> {
  if (model !== 'tiny-sd21') return nodeFolderSource(fixturePath(`pipelines/${model}`));
  const base = await nodeFolderSource(fixturePath('pipelines/tiny-sd'));
  const fixtures = await nodeFolderSource(fixturePath(''));
  const moved = (path: string): string | undefined => {
    const [folder, file] = path.split('/');
    const name = file?.endsWith('.safetensors') ? 'model.safetensors' : file;
    if (folder === 'unet') return `models/unet-sd21/${name}`;
    return folder === 'text_encoder' ? `single-file/clip-gelu-sd21/${name}` : undefined;
  };
  const at = (path: string): [ModelSource, string] => {
    const other = moved(path);
    return other === undefined ? [base, path] : [fixtures, other];
  };
  return {
    name: model,
    open: async (path, signal) => {
      const [source, place] = at(path);
      return source.open(place, signal);
    },
    exists: async (path, signal) => {
      const [source, place] = at(path);
      return source.exists(place, signal);
    },
    list: async () => Promise.resolve(undefined),
  };
}

/** A tiny model as a checkpoint; `more` tensors are added to it. */
export async function tinyCheckpoint(
  model: (typeof TINY_MODELS)[number],
  more: Readonly<Record<string, TestTensor>> = {},
): Promise<Uint8Array> {
  const folder = await tinyFolder(model);
  const recipe = readGzipped('tiny', recipesSchema)[model];
  const components = new Set(
    Object.values(recipe).flatMap(([, ...sources]) => sources.map((source) => source.split('/')[0])),
  );
  const weights = new Map(
    await Promise.all([...components].map(async (name) => [name, await openWeights(folder, name)] as const)),
  );
  const read = async (source: string): Promise<Required<TestTensor>> => {
    const [component, name] = source.split('/');
    const file = weights.get(component);
    if (file === undefined) throw new Error(`no ${component}`);
    const { dtype, shape } = file.info(name);
    return { dtype, shape, data: await file.read(name) };
  };
  const tensors: Record<string, TestTensor> = {};
  for (const [name, [operation, ...sources]] of Object.entries(recipe)) {
    const parts = await Promise.all(sources.map(read));
    const [first] = parts;
    const { dtype, shape, data } = first;
    tensors[name] =
      operation === 'conv'
        ? { dtype, data, shape: [...shape, 1, 1] }
        : operation === 'transpose'
          ? { dtype, data: transpose(first), shape: shape.toReversed() }
          : {
              dtype,
              data: Buffer.concat(parts.map((part) => part.data)),
              shape: [parts.length * shape[0], ...shape.slice(1)],
            };
  }
  for (const file of weights.values()) await file.close();
  return makeSafetensors({ ...tensors, ...more });
}

function transpose({ data, shape: [rows, columns], dtype }: Required<TestTensor>): Uint8Array {
  const size = STORED_DTYPES[dtype];
  return Uint8Array.from({ length: data.length }, (_, i) => {
    const element = Math.floor(i / size);
    const from = (element % rows) * columns + Math.floor(element / rows);
    return data[from * size + (i % size)];
  });
}
