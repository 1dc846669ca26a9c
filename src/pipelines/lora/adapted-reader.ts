/** @file A model's tensors with adapters added: what weight stores read, and how a change reaches them. */

import type { LowRankFactors, LowRankSum, WeightReader } from '../../backends/backend.ts';
import type { AdapterLayer } from '../../loaders/lora/adapter-layer.ts';
import { decodeToF32 } from '../../tensor/decode.ts';

/** A layer of an adapter at the weight that the adapter has there. */
export interface WeightedLayer {
  readonly layer: AdapterLayer;
  readonly weight: number;
}

/** The layers that change each tensor, by the tensor's name. */
export type LayersByTensor = ReadonlyMap<string, readonly WeightedLayer[]>;

/** What a pipeline's adapters have for a component. */
export interface ComponentLayers {
  readonly active: LayersByTensor;
  /** The layers of all that are loaded, in use or not. */
  readonly loaded: ReadonlyMap<string, readonly AdapterLayer[]>;
}

/** What a change of adapters means for tensors. */
export interface LayerChanges {
  /** Those that are other ones now. */
  readonly tensors: ReadonlySet<string>;
  /** Whether some layer is no longer loaded. */
  readonly isUnloading: boolean;
}

/** Reads stored tensors and adds what adapters add, in f32. Tensors without adapters are read as they are stored. */
export class AdaptedReader implements WeightReader {
  readonly #stored: WeightReader;
  #layers: ComponentLayers['active'] = new Map();
  #loaded: ComponentLayers['loaded'] = new Map();

  constructor(stored: WeightReader) {
    this.#stored = stored;
  }

  /** Puts these layers in place of all others. */
  setLayers({ active, loaded }: ComponentLayers): LayerChanges {
    const before = this.#layers;
    const loadedBefore = this.#loaded;
    this.#layers = active;
    this.#loaded = loaded;
    const tensors = new Set([...before.keys(), ...active.keys()]);
    for (const name of tensors) if (areEqual(before.get(name), active.get(name))) tensors.delete(name);
    const isUnloading = [...loadedBefore].some(([name, layers]) => {
      const left = loaded.get(name) ?? [];
      return layers.some((layer) => !left.includes(layer));
    });
    return { tensors, isUnloading };
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

  letGo(name: string): void {
    this.#stored.letGo?.(name);
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
      loaded: (this.#loaded.get(name) ?? []).flatMap(({ factors }): readonly LowRankFactors[] =>
        factors ? [factors] : [],
      ),
    };
  }
}

function areEqual(a: readonly WeightedLayer[] = [], b: readonly WeightedLayer[] = []): boolean {
  return (
    a.length === b.length && a.every(({ layer, weight }, i) => layer === b[i].layer && weight === b[i].weight)
  );
}
