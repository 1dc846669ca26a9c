/** @file A model's tensors with adapters added: what weight stores read, and how a change reaches them. */

import type { LowRankSum, WeightReader } from '../../backends/backend.ts';
import type { AdapterLayer } from '../../loaders/lora/adapter-layer.ts';
import { decodeToF32 } from '../../tensor/decode.ts';

/** A layer of an adapter at the weight that the adapter has there. */
export interface WeightedLayer {
  readonly layer: AdapterLayer;
  readonly weight: number;
}

/** The layers that change each tensor, by the tensor's name. */
export type LayersByTensor = ReadonlyMap<string, readonly WeightedLayer[]>;

/** Reads stored tensors and adds what adapters add, in f32. Tensors without adapters are read as they are stored. */
export class AdaptedReader implements WeightReader {
  readonly #stored: WeightReader;
  #layers: LayersByTensor = new Map();

  constructor(stored: WeightReader) {
    this.#stored = stored;
  }

  /** Puts these layers in place of all others; returns the names of the tensors that are other ones now. */
  setLayers(layers: LayersByTensor): Set<string> {
    const before = this.#layers;
    this.#layers = layers;
    const names = new Set([...before.keys(), ...layers.keys()]);
    for (const name of names) if (areEqual(before.get(name), layers.get(name))) names.delete(name);
    return names;
  }

  info(name: string): ReturnType<WeightReader['info']> {
    const info = this.#stored.info(name);
    return this.#layers.has(name) ? { ...info, dtype: 'F32' } : info;
  }

  async read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#stored.read(name, signal);
    const layers = this.#layers.get(name);
    if (layers === undefined) return bytes;
    const base = decodeToF32(bytes, this.#stored.info(name).dtype);
    const sum = base.slice();
    for (const { layer, weight } of layers) layer.addTo(sum, base, weight);
    return new Uint8Array(sum.buffer);
  }

  lowRank(name: string): LowRankSum | undefined {
    const layers = this.#layers.get(name) ?? [];
    const terms = layers.flatMap(({ layer, weight }) =>
      layer.factors ? [{ ...layer.factors, scale: layer.scale * weight }] : [],
    );
    if (terms.length < layers.length) return undefined;
    return {
      dtype: this.#stored.info(name).dtype,
      readBase: (signal) => this.#stored.read(name, signal),
      terms: terms.filter(({ scale }) => scale !== 0),
    };
  }
}

function areEqual(a: readonly WeightedLayer[] = [], b: readonly WeightedLayer[] = []): boolean {
  return (
    a.length === b.length && a.every(({ layer, weight }, i) => layer === b[i].layer && weight === b[i].weight)
  );
}
