/** @file Weights on the device become what adapters make of them: there, where adapters are low-rank sums, else by the host. */

import type { RefreshOptions } from '../backend.ts';
import { lowRankSums } from '../weight-loading.ts';
import type { WeightMerger } from './weight-merge.ts';
import type { WebGpuWeights, WeightRequest } from './weights.ts';

export { WeightMerger } from './weight-merge.ts';

/** A weight that is to be another one. */
interface StaleWeight {
  readonly key: string;
  readonly request: WeightRequest;
  readonly buffer: Promise<GPUBuffer>;
}

/** What is refreshed. */
export interface RefreshedWeights {
  readonly store: WebGpuWeights;
  readonly merger: WeightMerger;
  readonly stale: readonly StaleWeight[];
  /** All weights by their keys. */
  readonly requests: ReadonlyMap<string, WeightRequest>;
  /** Packs what the reader gives. */
  readonly rewrite: (request: WeightRequest, buffer: GPUBuffer, signal?: AbortSignal) => Promise<void>;
}

/** See `WeightStore.refresh`. */
export async function refreshWeights(
  { store, merger, stale, requests, rewrite }: RefreshedWeights,
  names: ReadonlySet<string>,
  { keepBytes = Infinity, signal }: RefreshOptions,
): Promise<void> {
  if (merger.bytes > keepBytes) merger.release();
  const rebuild = async ({ key, request, buffer }: StaleWeight): Promise<void> => {
    const target = await buffer;
    signal?.throwIfAborted();
    const sums = lowRankSums(request.weight, store.reader);
    if (sums && keepBytes > 0 && (await merger.add(key, request, sums, target, { keepBytes, signal })))
      return;
    await rewrite(request, target, signal);
  };
  await store.loading(async () => {
    const rebuilding = stale.map(rebuild);
    // Those that are under way when one fails would otherwise meet the next change.
    await Promise.allSettled(rebuilding);
    await Promise.all(rebuilding);
  });
  for (const stream of store.streams) await stream.refresh(names, signal);
  store.stash?.forget(names);
  merger.flush();
  await store.loading(() =>
    merger.trim((key) => {
      const request = requests.get(key);
      return request && lowRankSums(request.weight, store.reader);
    }),
  );
}
