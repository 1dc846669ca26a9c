/** @file The model on the worker: loading it, with a ControlNet and within a budget, and what the browser keeps of models. */
import { signal } from '@preact/signals';
import type {
  CacheState,
  LoadedModel,
  WorkerFile,
  WorkerFolder,
  WorkerLoadOptions,
  WorkerModel,
} from 'calotype/worker';
import { addAgain, clearAdditions } from './additions.ts';
import { busyWith, problem, report, worker } from './engine.ts';
import { recommend, settings } from './settings.ts';

/** A ControlNet, and what it is called. */
export interface ControlNet {
  readonly name: string;
  readonly from: WorkerFile | WorkerFolder;
}

export const model = signal<(LoadedModel & { readonly name: string }) | undefined>(undefined);
export const controlNet = signal<ControlNet | undefined>(undefined);
export const cache = signal<CacheState | undefined>(undefined);

/** What was asked for last, to be loaded again with other options. */
let asked: { readonly name: string; readonly from: WorkerModel } | undefined;

/** Loads a model in place of the one before; what was beside that is gone. */
export async function load(name: string, from: WorkerModel, keepForm = false): Promise<void> {
  await busyWith({ kind: 'loading', what: name }, async (signal) => {
    [asked, controlNet.value] = [{ name, from }, undefined];
    clearAdditions();
    const loaded = await open(signal);
    const first = !keepForm || !localStorage.getItem('calotype-visited');
    if (first) recommend(loaded.recommended);
    if (keepForm) remember();
  });
}

/** Loads the same model with the present options, and what was beside it. */
export async function reload(): Promise<void> {
  if (!asked) return;
  await busyWith({ kind: 'loading', what: asked.name }, async (signal) => {
    await open(signal);
    await addAgain(signal);
  });
}

/** Puts a ControlNet beside the model, or takes it away. One that does not fit is not kept. */
export async function setControlNet(net: ControlNet | undefined): Promise<void> {
  const before = controlNet.value;
  controlNet.value = net;
  await reload();
  if (model.value) return;
  const why = problem.value;
  controlNet.value = before;
  await reload();
  problem.value = why ?? problem.value;
}

/** Removes a model from the cache. */
export async function forget(name: string): Promise<void> {
  await worker.uncache(name);
  await refreshCache();
}

async function open(signal: AbortSignal): Promise<LoadedModel> {
  if (!asked) throw new Error('no model was asked for');
  model.value = undefined;
  const loaded = await worker.load(asked.from, loadOptions(), { signal, onProgress: report });
  model.value = { ...loaded, name: asked.name };
  await refreshCache();
  return loaded;
}

/** `?backend=webgpu-software` in the page's address takes a software adapter too, for tests and for the curious. */
function loadOptions(): WorkerLoadOptions {
  const backend = new URLSearchParams(location.search).get('backend');
  const isKnown = backend === 'webgpu-software' || backend === 'webgpu' || backend === 'cpu';
  const { memory, lossy } = settings.value;
  return {
    ...(isKnown && { backends: [backend] }),
    ...(memory > 0 && { memory: { budget: `${memory}GB`, lossy } }),
    ...(controlNet.value && { controlnet: [controlNet.value.from] }),
  };
}

async function refreshCache(): Promise<void> {
  cache.value = await worker.cache();
}

function remember(): void {
  try {
    localStorage.setItem('calotype-visited', 'yes');
  } catch {
    // Private windows keep nothing.
  }
}
