/**
 * @file Weights split over several safetensors files, as described by a `*.safetensors.index.json`.
 */
import * as v from 'valibot';
import { FileFormatError, NotFoundError } from '../errors.ts';
import { validate } from './config.ts';
import type { Bytes } from './byte-source.ts';
import { isPlainPath, joinPath, type ModelSource, openRequired, readJson } from './model-source.ts';
import { openSafetensors } from './safetensors.ts';
import { missingTensor, type TensorInfo, type WeightSource } from './weight-source.ts';

const indexSchema = v.object({ weight_map: v.record(v.string(), v.string()) });

/**
 * Opens all shards of an index (their headers only).
 * Throws ConfigError for a broken index, FileFormatError for a shard name that is no plain file name or a tensor
 * that is not in the shard it is mapped to, and NotFoundError for a shard that is not there.
 */
export async function openShardedWeights(
  source: ModelSource,
  indexPath: string,
  signal?: AbortSignal,
): Promise<WeightSource> {
  const file = `${source.name}/${indexPath}`;
  const { weight_map: map } = validate(indexSchema, await readJson(source, indexPath, signal), { file });
  const folder = indexPath.includes('/') ? indexPath.slice(0, indexPath.lastIndexOf('/')) : '';
  const shards = new Map<string, WeightSource>();
  const close = async (): Promise<void> => {
    await Promise.all([...shards.values()].map(async (shard) => shard.close()));
  };
  try {
    for (const shard of new Set(Object.values(map))) {
      if (!isPlainPath(shard) || shard.includes('/'))
        throw new FileFormatError(`the shard name ${JSON.stringify(shard)} is no plain file name`, {
          file,
          remedy:
            'Shards must lie beside their index; do not use this index unless you trust where it comes from',
        });
      shards.set(shard, await openShard(source, joinPath(folder, shard), file, signal));
    }
    const home = new Map<string, WeightSource>();
    for (const [name, shard] of Object.entries(map)) {
      const weights = shards.get(shard);
      if (weights?.has(name) !== true)
        throw new FileFormatError(`is mapped to ${shard}, but is not in that file`, {
          file,
          field: name,
          remedy: 'The index and the shards are of different versions; get all of them again',
        });
      home.set(name, weights);
    }
    return new ShardedWeights(file, home, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function openShard(
  source: ModelSource,
  path: string,
  index: string,
  signal: AbortSignal | undefined,
): Promise<WeightSource> {
  let bytes;
  try {
    bytes = await openRequired(source, path, signal);
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new NotFoundError('this shard is not there', {
      file: source.name,
      field: path,
      remedy: `Get it too: ${index} needs it`,
      cause,
    });
  }
  try {
    return await openSafetensors(bytes, signal);
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

class ShardedWeights implements WeightSource {
  readonly name: string;
  readonly #home: ReadonlyMap<string, WeightSource>;
  readonly close: () => Promise<void>;

  constructor(name: string, home: ReadonlyMap<string, WeightSource>, close: () => Promise<void>) {
    this.name = name;
    this.#home = home;
    this.close = close;
  }

  names(): Iterable<string> {
    return this.#home.keys();
  }

  has(name: string): boolean {
    return this.#home.has(name);
  }

  info(name: string): TensorInfo {
    return this.#shard(name).info(name);
  }

  async read(name: string, signal?: AbortSignal): Promise<Bytes> {
    return this.#shard(name).read(name, signal);
  }

  async *readChunks(name: string, maxBytes: number, signal?: AbortSignal): AsyncGenerator<Bytes, void, void> {
    yield* this.#shard(name).readChunks(name, maxBytes, signal);
  }

  #shard(name: string): WeightSource {
    const shard = this.#home.get(name);
    if (shard === undefined) throw missingTensor(this, name);
    return shard;
  }
}
