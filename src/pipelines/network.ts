/**
 * @file A network on a backend: one store of weights, and programs compiled for the shapes that were asked for.
 */

import type { Backend, DeviceTensor, Program, WeightStore } from '../backends/backend.ts';
import { bindGraph, type Graph } from '../graph/graph.ts';
import type { PlanDemand } from '../plan/demand.ts';
import type { Plan } from '../plan/plan.ts';
import { plan } from '../plan/planner.ts';
import type { WeightPlacement } from '../plan/stream.ts';
import { laterPart } from '../later.ts';
import type { Modules } from '../loaders/lora/layer-parts.ts';
import type { FloatDType, StoredDType } from '../tensor/dtype.ts';
import type { Bindings } from '../tensor/shape.ts';
import type { ReaderSlot, TensorReader } from './memory/tensor-reader.ts';
import type { LayerChanges } from './lora/adapted-reader.ts';
import type { ProgressListener } from './progress.ts';

/** What compiling a program needs besides its graph. */
export interface ProgramOptions {
  /** Tensors of other programs to read or write in place of its own. */
  readonly tensors?: ReadonlyMap<string, DeviceTensor>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

/** What a network may be besides. */
export interface NetworkTraits {
  /** What `weights` reads, where adapters may change it. */
  readonly tensors?: AdaptableTensors;
  /** f32 where the device could compute in f16, but the network leaves its range. */
  readonly arithmetic?: 'f32' | undefined;
}

/** A network's tensors, as adapters change them. */
export interface AdaptableTensors {
  readonly reader: ReaderSlot;
  /** What the reader reads. */
  readonly stored: TensorReader;
  /** Stored shapes by name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** How a network keeps within a budget. */
export interface NetworkMemory {
  /** See `CompileOptions.placement`. */
  readonly placement: WeightPlacement | undefined;
  /** See `RefreshOptions.keepBytes`. */
  readonly keepBytes: number;
  /** See `CompileOptions.keepHeld`. */
  readonly keepHeld: boolean;
}

/** Whoever plans within a budget loads it, for backends that do not tell what they take. */
export const ESTIMATE = laterPart('budgets of memory', () => import('../backends/estimate-demand.ts'));

/** Embeddings are tables, which no kind of adapter changes. */
const EMBEDDING = /embedding\.weight$/;

/** A component of a pipeline (UNet, VAE, text encoder) with its weights on a device. */
export class Network {
  readonly name: string;
  readonly backend: Backend;
  /** Storage type; see `Backend.target`. */
  readonly dtype: FloatDType;
  readonly #weights: WeightStore;
  /** Undefined where nothing changes them. */
  readonly tensors: AdaptableTensors | undefined;
  readonly #arithmetic: 'f32' | undefined;
  /** Tensors that are other ones than those on the device. */
  readonly #stale = new Set<string>();
  /** Whether something is kept for adapters that are no longer loaded. */
  #isUnloading = false;
  /** Plans that were made to be looked at before they are compiled. */
  readonly #plans = new WeakMap<Graph, Map<string, Plan>>();
  #memory: NetworkMemory | undefined;

  constructor(
    name: string,
    backend: Backend,
    dtype: FloatDType,
    weights: WeightStore,
    { tensors, arithmetic }: NetworkTraits = {},
  ) {
    this.name = name;
    this.backend = backend;
    this.dtype = dtype;
    this.#weights = weights;
    this.tensors = tensors;
    this.#arithmetic = arithmetic;
  }

  /** How often its weights became others: what was computed at one number holds for it. */
  generation = 0;

  /** The modules that adapters can change. */
  get modules(): Modules {
    return new Map(
      [...(this.tensors?.shapes ?? [])].flatMap(([name, shape]): [string, readonly number[]][] =>
        name.endsWith('.weight') && shape.length >= 2 && !EMBEDDING.test(name)
          ? [[name.slice(0, -'.weight'.length), shape]]
          : [],
      ),
    );
  }

  /**
   * Tells that tensors are others now. Weights that are on the device are rewritten, once what runs is done; programs stay. If
   * that fails, or is stopped, it is made up for by the next call. Within a budget they wait for `settle`: there may have to be
   * room first.
   */
  async follow({ tensors, isUnloading }: LayerChanges, signal?: AbortSignal): Promise<void> {
    if (tensors.size > 0) this.generation++;
    for (const name of tensors) this.#stale.add(name);
    this.#isUnloading ||= isUnloading;
    if (this.#memory === undefined) await this.settle(signal);
  }

  /** Rewrites the weights on the device that are others now. */
  async settle(signal?: AbortSignal): Promise<void> {
    if (this.#stale.size === 0 && !this.#isUnloading) return;
    const keepBytes = this.#memory?.keepBytes ?? Number.POSITIVE_INFINITY;
    await this.#weights.refresh(this.#stale, { keepBytes, ...(signal && { signal }) });
    this.#stale.clear();
    this.#isUnloading = false;
  }

  /** Plans and compiles a graph with numbers for its symbols. */
  async compile(graph: Graph, bindings: Bindings, options: ProgramOptions = {}): Promise<Program> {
    const { tensors, signal, onProgress } = options;
    signal?.throwIfAborted();
    const planned =
      this.#plans.get(graph)?.get(JSON.stringify(bindings)) ?? (await this.#tuned(graph, bindings, signal));
    signal?.throwIfAborted();
    const placement = this.#memory?.placement;
    return this.backend.compile(planned, {
      weights: this.#weights,
      ...(placement && { placement, keepHeld: this.#memory?.keepHeld ?? false }),
      ...(tensors && { tensors }),
      ...(signal && { signal }),
      ...(onProgress && { onProgress: (progress) => onProgress({ ...progress, item: this.name }) }),
    });
  }

  /** From now on it keeps within this. Programs that were compiled otherwise must have been disposed of. */
  keepWithin(memory: NetworkMemory): void {
    this.#memory = memory;
  }

  /**
   * What a graph's program would take. It is planned as it will be compiled, with what is known of kernels' speed now:
   * measuring more would take memory, too.
   */
  demand(graph: Graph, bindings: Bindings): PlanDemand {
    const planned = this.#planBefore(graph, bindings);
    const storedType = (tensor: string): StoredDType => this.tensors?.reader.info(tensor).dtype ?? 'F32';
    return this.backend.demand?.(planned, storedType) ?? ESTIMATE.loaded.estimateDemand(planned);
  }

  /** Begins to compile the kernels of a graph's program, if the backend can; `compile` will wait for them. */
  warm(graph: Graph, bindings: Bindings): void {
    if (this.backend.warm) this.backend.warm(this.#planBefore(graph, bindings), this.#weights);
  }

  /** A plan that is kept for `compile`. */
  #planBefore(graph: Graph, bindings: Bindings): Plan {
    const plans = this.#plans.get(graph) ?? new Map<string, Plan>();
    this.#plans.set(graph, plans);
    const key = JSON.stringify(bindings);
    const planned = plans.get(key) ?? this.#plan(graph, bindings);
    plans.set(key, planned);
    return planned;
  }

  #plan(graph: Graph, bindings: Bindings): Plan {
    return plan(bindGraph(graph, bindings), this.backend.target(this.dtype, this.#arithmetic));
  }

  async #tuned(graph: Graph, bindings: Bindings, signal: AbortSignal | undefined): Promise<Plan> {
    const first = this.#plan(graph, bindings);
    return (await this.backend.tune?.(first, signal)) === true ? this.#plan(graph, bindings) : first;
  }

  /** Frees the weights that hold a stored tensor; programs that use them must have been disposed of. */
  forget(tensor: string): void {
    this.#weights.forget(tensor);
  }

  /** Frees what weights take on the device; programs must have been disposed of. Those that are compiled later load them again. */
  vacate(): void {
    if (this.#weights.vacate) this.#weights.vacate();
    else this.dispose();
  }

  /** Frees the weights, and what the host holds of them. */
  dispose(): void {
    this.#weights.dispose();
    this.#stale.clear();
    this.#isUnloading = false;
  }
}

/** Keeps the things made for the latest few keys (programs of the latest shapes) and disposes of older ones. */
export class RecentCache<T extends { dispose?: (() => void) | undefined }> {
  readonly #limit: number;
  readonly #items = new Map<string, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  has(key: string): boolean {
    return this.#items.has(key);
  }

  /** The thing kept under `key`, made now if it is not there. */
  async get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#items.get(key);
    this.#items.delete(key);
    // Older ones go first, so that their memory can be used.
    for (const [oldest, old] of this.#items) {
      if (this.#items.size < this.#limit) break;
      this.#items.delete(oldest);
      old.dispose?.();
    }
    const item = known ?? (await make());
    this.#items.set(key, item);
    return item;
  }

  dispose(): void {
    for (const item of this.#items.values()) item.dispose?.();
    this.#items.clear();
  }
}
