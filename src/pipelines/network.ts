/**
 * @file A network on a backend: one store of weights, and programs compiled for the shapes that were asked for.
 */

import type { Backend, DeviceTensor, Program, WeightStore } from '../backends/backend.ts';
import { bindGraph, type Graph } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import { plan } from '../plan/planner.ts';
import type { Modules } from '../loaders/lora/layer-parts.ts';
import type { Bindings } from '../tensor/shape.ts';
import type { AdaptedReader, LayersByTensor } from './lora/adapted-reader.ts';
import type { ProgressListener } from './progress.ts';

/** What compiling a program needs besides its graph. */
export interface ProgramOptions {
  /** Tensors of other programs to read or write in place of its own. */
  readonly tensors?: ReadonlyMap<string, DeviceTensor>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

/** A network's tensors, as adapters change them. */
export interface AdaptableTensors {
  readonly reader: AdaptedReader;
  /** Stored shapes by name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** Embeddings are tables, which no kind of adapter changes. */
const EMBEDDING = /embedding\.weight$/;

/** A component of a pipeline (UNet, VAE, text encoder) with its weights on a device. */
export class Network {
  readonly name: string;
  readonly backend: Backend;
  /** Storage type; see `Backend.target`. */
  readonly dtype: 'f32' | 'f16';
  readonly #weights: WeightStore;
  readonly #tensors: AdaptableTensors | undefined;
  /** Tensors that are other ones than those on the device. */
  readonly #stale = new Set<string>();

  /** @param tensors what `weights` reads, where adapters may change it */
  constructor(
    name: string,
    backend: Backend,
    dtype: 'f32' | 'f16',
    weights: WeightStore,
    tensors?: AdaptableTensors,
  ) {
    this.name = name;
    this.backend = backend;
    this.dtype = dtype;
    this.#weights = weights;
    this.#tensors = tensors;
  }

  /** The modules that adapters can change. */
  get modules(): Modules {
    return new Map(
      [...(this.#tensors?.shapes ?? [])].flatMap(([name, shape]): [string, readonly number[]][] =>
        name.endsWith('.weight') && shape.length >= 2 && !EMBEDDING.test(name)
          ? [[name.slice(0, -'.weight'.length), shape]]
          : [],
      ),
    );
  }

  /**
   * Puts these layers of adapters in place of all others. Weights that are on the device are rewritten, once what runs
   * is done; programs stay. If that fails, or is stopped, it is made up for by the next call.
   */
  async adapt(layers: LayersByTensor, signal?: AbortSignal): Promise<void> {
    for (const name of this.#tensors?.reader.setLayers(layers) ?? []) this.#stale.add(name);
    if (this.#stale.size === 0) return;
    await this.#weights.refresh(this.#stale, signal ? { signal } : {});
    this.#stale.clear();
  }

  /** Plans and compiles a graph with numbers for its symbols. */
  async compile(graph: Graph, bindings: Bindings, options: ProgramOptions = {}): Promise<Program> {
    const { tensors, signal, onProgress } = options;
    signal?.throwIfAborted();
    const bound = bindGraph(graph, bindings);
    const makePlan = (): Plan => plan(bound, this.backend.target(this.dtype));
    const first = makePlan();
    const planned = (await this.backend.tune?.(first)) === true ? makePlan() : first;
    return this.backend.compile(planned, {
      weights: this.#weights,
      ...(tensors && { tensors }),
      ...(signal && { signal }),
      ...(onProgress && { onProgress: (progress) => onProgress({ ...progress, item: this.name }) }),
    });
  }

  /** Frees the weights that hold a stored tensor; programs that use them must have been disposed of. */
  forget(tensor: string): void {
    this.#weights.forget(tensor);
  }

  /** Frees the weights; programs must have been disposed of. */
  dispose(): void {
    this.#weights.dispose();
  }
}

/** Keeps the things made for the latest few keys (programs of the latest shapes) and disposes of older ones. */
export class RecentCache<T extends { dispose(): void }> {
  readonly #limit: number;
  readonly #items = new Map<string, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The thing kept under `key`, made now if it is not there. */
  async get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#items.get(key);
    const item = known ?? (await make());
    this.#items.delete(key);
    this.#items.set(key, item);
    for (const [oldest, old] of this.#items) {
      if (this.#items.size <= this.#limit) break;
      this.#items.delete(oldest);
      old.dispose();
    }
    return item;
  }

  dispose(): void {
    for (const item of this.#items.values()) item.dispose();
    this.#items.clear();
  }
}
