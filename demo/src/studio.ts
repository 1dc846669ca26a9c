/** @file What the page does: loads models, draws, cancels; its state is signals that the components show. */
import { computed, signal } from '@preact/signals';
import {
  type CacheState,
  type CalotypeImage,
  DiffusionWorker,
  type LoadedModel,
  type ProgressEvent,
  type Recipe,
  type WorkerLoadOptions,
  type WorkerModel,
  type WorkerOutput,
} from 'calotype/worker';
import { keep, openGallery } from './gallery.ts';
import { readPicture } from './pictures.ts';
import { callOptions, change, fromRecipe, randomSeed, recommend, settings } from './settings.ts';

/** What goes on. */
export type Activity =
  | { readonly kind: 'idle' }
  | { readonly kind: 'loading'; readonly what: string }
  | { readonly kind: 'drawing' };

/** How far the present phase is. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** Milliseconds left, once that can be told. */
  readonly left: number | undefined;
}

const STARTER = new URL('starter', document.baseURI).href;
const worker = new DiffusionWorker();

export const model = signal<(LoadedModel & { readonly name: string }) | undefined>(undefined);
export const activity = signal<Activity>({ kind: 'idle' });
export const progress = signal<Progress | undefined>(undefined);
/** What is on the easel: a preview, or a finished picture. */
export const shown = signal<CalotypeImage | undefined>(undefined);
export const shownIsPreview = signal(false);
/** What went wrong last, for people. */
export const problem = signal<string | undefined>(undefined);
export const lastRun = signal<
  | {
      readonly seconds: number;
      readonly perStep: number;
      /** Most bytes of the device's memory at once. */
      readonly bytes: number | undefined;
      /** Ends of prompts that did not fit into the model's input. */
      readonly cutOff: readonly string[];
      /** What took the device away, if it was lost meanwhile. */
      readonly recoveredFrom: string | undefined;
    }
  | undefined
>(undefined);
/** The picture to begin with, and where to paint it anew. */
export const source = signal<CalotypeImage | undefined>(undefined);
export const mask = signal<CalotypeImage | undefined>(undefined);
export const cache = signal<CacheState | undefined>(undefined);
export const busy = computed(() => activity.value.kind !== 'idle');

let controller = new AbortController();

/** Everything that the page does by itself when it opens. */
export async function start(): Promise<void> {
  await openGallery();
  await load('Starter model', STARTER, true);
}

/** Stops what is running. */
export function cancel(): void {
  controller.abort();
}

/** Loads a model in place of the one before. */
export async function load(name: string, from: WorkerModel, keepForm = false): Promise<void> {
  await busyWith({ kind: 'loading', what: name }, async (signal) => {
    model.value = undefined;
    const loaded = await worker.load(from, loadOptions(), { signal, onProgress: report });
    const first = !keepForm || !localStorage.getItem('calotype-visited');
    if (first) recommend(loaded.recommended);
    if (keepForm) remember();
    model.value = { ...loaded, name };
    await refreshCache();
  });
}

/** Draws what the form says. */
export async function draw(): Promise<void> {
  await busyWith({ kind: 'drawing' }, async (signal) => {
    if (!settings.value.seedLocked) change({ seed: randomSeed() });
    const form = settings.value;
    const begun = performance.now();
    let first = begun;
    const output = await worker.draw(
      {
        ...callOptions(form),
        ...(source.value && { image: source.value, strength: form.strength }),
        ...(source.value && mask.value && { maskImage: mask.value }),
      },
      {
        signal,
        onProgress: report,
        onStep: ({ index, total, previews: [preview] }) => {
          if (index === 0) first = performance.now();
          const each = index === 0 ? undefined : (performance.now() - first) / index;
          progress.value = {
            label: `Step ${index + 1} of ${total}`,
            done: index + 1,
            total,
            left: each === undefined ? undefined : each * (total - index - 1),
          };
          if (preview) [shown.value, shownIsPreview.value] = [preview, true];
        },
      },
    );
    const [image] = output.images;
    if (!image) return;
    [shown.value, shownIsPreview.value] = [image, false];
    const { denoise } = output.timings;
    lastRun.value = {
      seconds: (performance.now() - begun) / 1000,
      perStep: denoise / output.options.numInferenceSteps,
      bytes: output.memory?.peakDeviceBytes,
      cutOff: output.truncatedPrompts,
      recoveredFrom: output.recoveredFrom,
    };
    await keep(await worker.encodePng(image, recipeOf(output)), form.seed);
  });
}

/** Puts a picture's recipe, or the picture, into the form. */
export async function takePicture(file: File): Promise<void> {
  problem.value = undefined;
  const { recipe } =
    file.type === 'image/png'
      ? await worker.decodePng(file, file.name).catch(() => ({ recipe: undefined }))
      : { recipe: undefined };
  if (recipe) return fromRecipe(recipe);
  try {
    setSource(await readPicture(file));
  } catch {
    problem.value = `${file.name} is no picture that this browser can read. Give a PNG, JPEG or WebP file.`;
  }
}

/** The recipe of a kept picture, into the form. */
export async function reuse(file: Blob): Promise<void> {
  const { recipe, image } = await worker.decodePng(file);
  if (recipe) fromRecipe(recipe);
  if (!busy.value) [shown.value, shownIsPreview.value] = [image, false];
}

/** Sets or clears the picture to begin with. */
export function setSource(image: CalotypeImage | undefined): void {
  [source.value, mask.value] = [image, undefined];
}

/** Removes a model from the cache. */
export async function forget(name: string): Promise<void> {
  await worker.uncache(name);
  await refreshCache();
}

/** `?backend=webgpu-software` in the page's address takes a software adapter too, for tests and for the curious. */
function loadOptions(): WorkerLoadOptions {
  const asked = new URLSearchParams(location.search).get('backend');
  return asked === 'webgpu-software' || asked === 'webgpu' || asked === 'cpu' ? { backends: [asked] } : {};
}

async function refreshCache(): Promise<void> {
  cache.value = await worker.cache();
}

/** One thing at a time; what goes wrong is shown, and a cancelled thing is no problem. */
async function busyWith(what: Activity, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  if (busy.value) return;
  controller = new AbortController();
  const { signal } = controller;
  [activity.value, problem.value, progress.value] = [what, undefined, undefined];
  try {
    await task(signal);
  } catch (error) {
    if (!signal.aborted) problem.value = error instanceof Error ? error.message : String(error);
  } finally {
    [activity.value, progress.value] = [{ kind: 'idle' }, undefined];
  }
}

const PHASES: Readonly<Record<ProgressEvent['phase'], string>> = {
  download: 'Downloading',
  verify: 'Checking',
  weights: 'Loading weights of',
  kernels: 'Compiling kernels of',
};
let phase = { label: '', begun: 0, from: 0 };

function report({ phase: name, item, done, total }: ProgressEvent): void {
  const label = `${PHASES[name]} ${item}`;
  const now = performance.now();
  if (label !== phase.label) phase = { label, begun: now, from: done };
  const gained = done - phase.from;
  const left = gained > 0 ? ((now - phase.begun) / gained) * (total - done) : undefined;
  progress.value = { label, done, total, left };
}

/** What made a picture, in the terms of the form and of the library. */
function recipeOf({ options, scheduler }: WorkerOutput): Recipe {
  const {
    prompt,
    negativePrompt,
    width,
    height,
    numInferenceSteps,
    guidanceScale,
    guidanceRescale,
    strength,
  } = options;
  return {
    calotype: __CALOTYPE_VERSION__,
    model: model.value?.name ?? '',
    prompt: String(prompt ?? ''),
    ...(negativePrompt !== undefined && { negativePrompt: String(negativePrompt) }),
    width,
    height,
    numInferenceSteps,
    guidanceScale,
    guidanceRescale,
    ...(strength !== undefined && { strength }),
    seed: settings.value.seed,
    scheduler,
    choice: settings.value.scheduler,
  };
}

function remember(): void {
  try {
    localStorage.setItem('calotype-visited', 'yes');
  } catch {
    // Private windows keep nothing.
  }
}
