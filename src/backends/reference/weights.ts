/** @file Weights of the reference backend: f32 arrays in memory. */

import type { Weight } from '../../graph/graph.ts';
import { decodeToF32 } from '../../tensor/decode.ts';
import type { RefreshOptions, WeightReader, WeightStore } from '../backend.ts';
import { checkWeight, isPartOf } from '../weight-loading.ts';
import { elementCount } from './op.ts';

/**
 * Reads a weight: its parts one after the other, which is stacking along axis 0, as f32.
 * @throws NotFoundError, from the reader, when a part is missing; FileFormatError when a part has another shape
 * than the graph declares. Shapes are checked before anything is read.
 */
export async function loadWeight(
  weight: Weight,
  reader: WeightReader,
  signal?: AbortSignal,
): Promise<Float32Array> {
  checkWeight(weight, reader);
  const result = new Float32Array(weight.parts.reduce((sum, part) => sum + elementCount(part.shape), 0));
  let start = 0;
  for (const { name, shape } of weight.parts) {
    const end = start + elementCount(shape);
    decodeToF32(await reader.read(name, signal), reader.info(name).dtype, result.subarray(start, end));
    start = end;
  }
  return result;
}

/** Weights by their parts' names, read once. */
export class ReferenceWeights implements WeightStore {
  readonly #reader: WeightReader;
  readonly #loaded = new Map<string, { readonly weight: Weight; readonly data: Float32Array }>();

  constructor(reader: WeightReader) {
    this.#reader = reader;
  }

  get bytes(): number {
    return [...this.#loaded.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  }

  /** The weight's elements; throws as `loadWeight` does. */
  async load(weight: Weight, signal?: AbortSignal): Promise<Float32Array> {
    const key = weight.parts.map((part) => part.name).join('\n');
    const data = this.#loaded.get(key)?.data ?? (await loadWeight(weight, this.#reader, signal));
    this.#loaded.set(key, { weight, data });
    return data;
  }

  forget(tensor: string): void {
    for (const key of this.#loaded.keys()) if (key.split('\n').includes(tensor)) this.#loaded.delete(key);
  }

  async refresh(names: ReadonlySet<string>, { signal }: RefreshOptions = {}): Promise<void> {
    for (const { weight, data } of this.#loaded.values())
      if (isPartOf(weight, names)) data.set(await loadWeight(weight, this.#reader, signal));
  }

  dispose(): void {
    this.#loaded.clear();
  }
}
