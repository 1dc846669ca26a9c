/** @file What weight stores of all backends share: checks before reading, and loading each thing once. */

import { FileFormatError } from '../errors.ts';
import type { Weight } from '../graph/graph.ts';
import type { CompileOptions, LowRankSum, WeightReader } from './backend.ts';

/**
 * Checks, before anything is read, that the files hold a weight's parts in the shapes that the graph declares.
 * @throws NotFoundError, from the reader, for a missing tensor; FileFormatError for one of another shape. Both name
 * file and tensor.
 */
export function checkWeight(weight: Weight, reader: WeightReader): void {
  for (const { name, shape } of weight.parts) {
    const info = reader.info(name);
    if (info.shape.length === shape.length && info.shape.every((dim, axis) => dim === shape[axis])) continue;
    throw new FileFormatError(`has shape [${info.shape.join(', ')}], expected [${shape.join(', ')}]`, {
      file: info.file,
      field: name,
      remedy: 'Check that the weights and the configuration are of the same model',
    });
  }
}

/** A weight's name, for people: those of its parts. */
export function weightName(weight: Weight): string {
  return weight.parts.map((part) => part.name).join(' + ');
}

/** Whether a weight has one of these tensors as a part. */
export function isPartOf(weight: Weight, names: ReadonlySet<string>): boolean {
  return weight.parts.some((part) => names.has(part.name));
}

/** How all parts of a weight come about; undefined where a part cannot be told so. */
export function lowRankSums(weight: Weight, reader: WeightReader): LowRankSum[] | undefined {
  const sums = weight.parts.flatMap(({ name }) => reader.lowRank?.(name) ?? []);
  return sums.length === weight.parts.length ? sums : undefined;
}

/** What a plan asks of a store for a weight, and the indices of the dispatches that read it, ascending; none for an output. */
export interface WeightUse<Request> {
  readonly request: Request;
  readonly dispatches: readonly number[];
}

/**
 * The weights of a plan, each in one layout once, by key.
 * @param reads what dispatches read, with their indices
 * @param outputs what are outputs themselves
 */
export function usesByKey<Request>(
  reads: Iterable<readonly [dispatch: number, request: Request]>,
  outputs: Iterable<Request>,
  keyOf: (request: Request) => string,
): Map<string, WeightUse<Request>> {
  const uses = new Map<string, { readonly request: Request; readonly dispatches: Set<number> }>();
  const use = (request: Request): Set<number> => {
    const key = keyOf(request);
    const known = uses.get(key) ?? { request, dispatches: new Set() };
    uses.set(key, known);
    return known.dispatches;
  };
  for (const [dispatch, request] of reads) use(request).add(dispatch);
  for (const request of outputs) use(request);
  return new Map(
    [...uses].map(([key, { request, dispatches }]) => [
      key,
      { request, dispatches: [...dispatches].sort((a, b) => a - b) },
    ]),
  );
}

/** Loads that are shared by key; one that fails or is aborted is forgotten, so that it can be tried again. */
export class SharedLoads<Loaded> {
  readonly #loads = new Map<string, Promise<Loaded>>();

  has(key: string): boolean {
    return this.#loads.has(key);
  }

  /** The load with this key, if there is one. */
  peek(key: string): Promise<Loaded> | undefined {
    return this.#loads.get(key);
  }

  /** The load with this key, begun by `load` if it is the first. */
  get(key: string, load: () => Promise<Loaded>): Promise<Loaded> {
    const known = this.#loads.get(key);
    if (known) return known;
    const loading = load();
    this.#loads.set(key, loading);
    loading.catch(() => this.#loads.delete(key));
    return loading;
  }

  /** Forgets loads whose key, JSON with the names of a weight's parts, names a tensor; frees what they loaded or will. */
  forget(tensor: string, free: (loaded: Loaded) => void): void {
    for (const [key, loading] of this.#loads)
      if (key.includes(JSON.stringify(tensor))) {
        this.#loads.delete(key);
        loading.then(free, () => undefined);
      }
  }

  /** Forgets all loads, and frees what they have loaded or still will. */
  clear(free: (loaded: Loaded) => void): void {
    for (const loading of this.#loads.values()) loading.then(free, () => undefined);
    this.#loads.clear();
  }
}

/**
 * Loads requests, with progress; the result has the same keys.
 * @param order one after the other, or all begun at once, for loads that wait for each other by themselves
 */
export async function loadRequests<Request, Loaded>(
  requests: ReadonlyMap<string, Request>,
  load: (request: Request) => Promise<Loaded>,
  { signal, onProgress }: CompileOptions,
  order: 'in turn' | 'at once' = 'in turn',
): Promise<Map<string, Loaded>> {
  const total = requests.size;
  const loaded = new Map<string, Loaded>();
  onProgress?.({ phase: 'weights', done: 0, total });
  const loadOne = async ([key, request]: readonly [string, Request]): Promise<void> => {
    signal?.throwIfAborted();
    loaded.set(key, await load(request));
    onProgress?.({ phase: 'weights', done: loaded.size, total });
  };
  if (order === 'at once') await Promise.all([...requests].map(loadOne));
  else for (const request of requests) await loadOne(request);
  return loaded;
}
