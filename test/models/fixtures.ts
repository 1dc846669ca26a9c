/** @file Reads the fixtures that `test/fixtures/models/*.py` make. */

import { readdirSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import type { WeightReader } from '../../src/backends/backend.ts';
import { NotFoundError } from '../../src/errors.ts';
import { decodeToF32 } from '../../src/tensor/decode.ts';
import { isStoredDType, type StoredDType } from '../../src/tensor/dtype.ts';

const ROOT = new URL('../fixtures/', import.meta.url);

/** A tensor of a file. */
export interface FileTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A JSON file below test/fixtures. */
export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, ROOT), 'utf8'));
}

const header = v.record(
  v.string(),
  v.object({
    dtype: v.custom<StoredDType>((name) => typeof name === 'string' && isStoredDType(name)),
    shape: v.array(v.number()),
    data_offsets: v.tuple([v.number(), v.number()]),
  }),
);

/** All tensors of a safetensors file below test/fixtures, by name. */
export function readTensors(path: string): Map<string, FileTensor> {
  const file = new Uint8Array(readFileSync(new URL(path, ROOT)));
  const start = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
  const { __metadata__, ...entries } = v.parse(
    v.record(v.string(), v.unknown()),
    JSON.parse(new TextDecoder().decode(file.subarray(8, start))),
  );
  return new Map(
    Object.entries(v.parse(header, entries)).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: file.slice(start + from, start + to) }],
    ),
  );
}

/** A tensor's elements. */
export function numbers({ bytes, dtype }: FileTensor): Float32Array {
  return decodeToF32(bytes, dtype);
}

/**
 * Reads the weights of a fixture and remembers which were asked for.
 * @param aliases other names to look under, as `models/*.ts` give them.
 */
export function fixtureWeights(
  network: string,
  aliases: (name: string) => readonly string[],
): { readonly reader: WeightReader; readonly unused: () => string[] } {
  const tensors = readTensors(`models/${network}/model.safetensors`);
  const unused = new Set(tensors.keys());
  const find = (name: string): FileTensor => {
    const stored = [name, ...aliases(name)].find((candidate) => tensors.has(candidate));
    const tensor = stored === undefined ? undefined : tensors.get(stored);
    if (stored === undefined || tensor === undefined)
      throw new NotFoundError('no such tensor', { file: network, field: name, remedy: 'Compare the names' });
    unused.delete(stored);
    return tensor;
  };
  return {
    reader: {
      info: (name) => ({ ...find(name), file: network }),
      read: (name) => Promise.resolve(find(name).bytes),
    },
    unused: () => [...unused],
  };
}

/** Names of all fixture networks. */
export const NETWORKS: readonly string[] = readdirSync(new URL('models/', ROOT), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

/** What diffusers expects of each configuration in fixtures/configs; see make_tensor_lists.py. */
export const TENSOR_LISTS = v.parse(
  v.record(v.string(), v.object({ tensors: v.number(), parameters: v.number(), sha256: v.string() })),
  readJson('models/tensors.json'),
);
