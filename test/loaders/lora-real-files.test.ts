/** @file LoRA files that people use, of three key styles: every tensor finds its place in Stable Diffusion 1.5. */

import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import type { Graph } from '../../src/graph/graph.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import type { ComponentModules } from '../../src/loaders/lora/layer-parts.ts';
import { readLoraFile } from '../../src/loaders/lora/lora-file.ts';
import { openSafetensors, type SafetensorsFile } from '../../src/loaders/safetensors.ts';
import { buildCLIPText } from '../../src/models/clip-text.ts';
import { buildUNet2DCondition } from '../../src/models/unet2d-condition.ts';
import { STORED_DTYPES, isStoredDType } from '../../src/tensor/dtype.ts';
import { readFixtureJson } from '../support/fixtures.ts';
import { rawSafetensors } from './make-safetensors.ts';

const files = readFixtureJson(
  'lora/real-keys.json',
  v.record(
    v.string(),
    v.object({
      metadata: v.record(v.string(), v.string()),
      tensors: v.record(v.string(), v.tupleWithRest([v.string()], v.number())),
    }),
  ),
);

/** The linear and convolution layers of a graph. */
function modulesOf({ weights }: Graph): Map<string, readonly number[]> {
  const parts = weights.flatMap((weight) => weight.parts);
  return new Map(
    parts.flatMap(({ name, shape }) =>
      name.endsWith('.weight') && shape.length >= 2 && !name.endsWith('embedding.weight')
        ? [[name.slice(0, -'.weight'.length), shape]]
        : [],
    ),
  );
}

const context = { file: 'config.json' };
const MODULES: ComponentModules = new Map([
  [
    'unet',
    modulesOf(
      buildUNet2DCondition(
        parseUNet2DConditionConfig(readFixtureJson('configs/sd15/unet/config.json', v.unknown()), context),
      ),
    ),
  ],
  [
    'text_encoder',
    modulesOf(
      buildCLIPText(
        parseCLIPTextConfig(readFixtureJson('configs/sd15/text_encoder/config.json', v.unknown()), context),
        { projection: false },
      ),
    ),
  ],
]);

/** A file of these names and shapes, full of zeros. */
async function open(name: string): Promise<SafetensorsFile> {
  const { metadata, tensors } = files[name];
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const [tensor, [dtype, ...shape]] of Object.entries(tensors)) {
    if (!isStoredDType(dtype)) throw new Error(dtype);
    const bytes = shape.reduce((product, size) => product * size, STORED_DTYPES[dtype]);
    header[tensor] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const file = rawSafetensors(JSON.stringify(header), new Uint8Array(at));
  return openSafetensors(bufferSource(`${name}.safetensors`, file));
}

describe('a LoRA file as people use it', () => {
  it.each<[name: string, layers: Record<string, number>]>([
    ['catundchat-weapons', { unet: 128 }],
    ['cloneofsimo-analog', { unet: 144, text_encoder: 48 }],
    ['cloneofsimo-disney', { unet: 144, text_encoder: 48 }],
  ])('%s is read to its last tensor', async (name, counts) => {
    const { layers, notices } = await readLoraFile(await open(name), MODULES);
    expect(Object.fromEntries([...layers].map(([component, list]) => [component, list.size]))).toEqual(
      counts,
    );
    const embeddings = Object.keys(files[name].tensors).filter((key) => key.startsWith('<'));
    expect(notices.join(' ')).toMatch(embeddings.length > 0 ? /<s1>/ : /^$/);
  });
});
