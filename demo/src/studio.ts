/** @file Drawing: from the form to a picture on the easel and in the gallery, and from a picture back to the form. */
import { signal } from '@preact/signals';
import type { CalotypeImage, Recipe, WorkerOutput } from 'calotype/worker';
import { applyWeights, loras, weighLora } from './additions.ts';
import { busy, busyWith, problem, progress, report, worker } from './engine.ts';
import { keep, openGallery } from './gallery.ts';
import { controlNet, load, model } from './models.ts';
import { readPicture } from './pictures.ts';
import { callOptions, change, fromRecipe, randomSeed, settings } from './settings.ts';

const STARTER = new URL('starter', document.baseURI).href;

/** What the last picture took. */
export interface Run {
  readonly seconds: number;
  readonly perStep: number;
  /** Most bytes of the device's memory at once. */
  readonly bytes: number | undefined;
  /** Ends of prompts that did not fit into the model's input. */
  readonly cutOff: readonly string[];
  /** What took the device away, if it was lost meanwhile. */
  readonly recoveredFrom: string | undefined;
  /** The steps that were done by then. */
  readonly recoveredAt: number;
}

/** What is on the easel: a preview, or a finished picture. */
export const shown = signal<CalotypeImage | undefined>(undefined);
export const shownIsPreview = signal(false);
export const lastRun = signal<Run | undefined>(undefined);
/** The picture to begin with, and where to paint it anew. */
export const source = signal<CalotypeImage | undefined>(undefined);
export const mask = signal<CalotypeImage | undefined>(undefined);
/** What the ControlNet sees. */
export const controlImage = signal<CalotypeImage | undefined>(undefined);

/** Everything that the page does by itself when it opens. */
export async function start(): Promise<void> {
  await openGallery();
  await load('Starter model', STARTER, true);
}

/** Draws what the form says. */
export async function draw(): Promise<void> {
  await busyWith({ kind: 'drawing' }, async (signal) => {
    if (!settings.value.seedLocked) change({ seed: randomSeed() });
    const form = settings.value;
    const begun = performance.now();
    let first = begun;
    await applyWeights();
    const output = await worker.draw(
      {
        ...callOptions(form),
        ...(source.value && { image: source.value, strength: form.strength }),
        ...(source.value && mask.value && { maskImage: mask.value }),
        ...(controlNet.value &&
          controlImage.value && {
            controlImage: controlImage.value,
            controlnetConditioningScale: form.controlScale,
          }),
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
    lastRun.value = {
      seconds: (performance.now() - begun) / 1000,
      perStep: output.timings.denoise / output.options.numInferenceSteps,
      bytes: output.memory?.peakDeviceBytes,
      cutOff: output.truncatedPrompts,
      recoveredFrom: output.recoveredFrom,
      recoveredAt: output.recoveredAt ?? 0,
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
  if (recipe) return takeRecipe(recipe);
  const image = await readOrExplain(file);
  if (image) setSource(image);
}

/** Takes a picture for the ControlNet, whatever made it. */
export async function takeControlImage(file: File): Promise<void> {
  problem.value = undefined;
  controlImage.value = (await readOrExplain(file)) ?? controlImage.value;
}

/** The recipe of a kept picture, into the form. */
export async function reuse(file: Blob): Promise<void> {
  const { recipe, image } = await worker.decodePng(file);
  if (recipe) takeRecipe(recipe);
  if (!busy.value) [shown.value, shownIsPreview.value] = [image, false];
}

/** Sets or clears the picture to begin with. */
export function setSource(image: CalotypeImage | undefined): void {
  [source.value, mask.value] = [image, undefined];
}

async function readOrExplain(file: File): Promise<CalotypeImage | undefined> {
  try {
    return await readPicture(file);
  } catch {
    problem.value = `${file.name} is no picture that this browser can read. Give a PNG, JPEG or WebP file.`;
    return undefined;
  }
}

/** LoRAs that are loaded get the recipe's weights; others are named. */
function takeRecipe(recipe: Recipe): void {
  fromRecipe(recipe);
  const used = new Map(lorasOf(recipe));
  for (const { name } of loras.value) weighLora(name, used.get(name) ?? 0);
  const missing = [...used.keys()].filter((name) => !loras.value.some((lora) => lora.name === name));
  if (missing.length > 0)
    problem.value = `The picture was drawn with LoRAs that are not loaded: ${missing.join(', ')}. Add them first.`;
}

function lorasOf({ loras: listed }: Recipe): [name: string, weight: number][] {
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((entry: unknown): [string, number][] => {
    const name: unknown = Reflect.get(Object(entry), 'name');
    const weight: unknown = Reflect.get(Object(entry), 'weight');
    return typeof name === 'string' && typeof weight === 'number' ? [[name, weight]] : [];
  });
}

/** What made a picture, in the terms of the form and of the library. */
function recipeOf({ options, scheduler, adapters }: WorkerOutput): Recipe {
  const {
    prompt,
    negativePrompt,
    width,
    height,
    numInferenceSteps,
    guidanceScale,
    guidanceRescale,
    strength,
    promptSyntax,
    controlnetConditioningScale,
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
    ...(promptSyntax === 'webui' && { promptSyntax }),
    ...(adapters.length > 0 && { loras: adapters.map(({ name, weight }) => ({ name, weight })) }),
    ...(controlImage.value &&
      controlNet.value && { controlnet: controlNet.value.name, controlnetConditioningScale }),
    seed: settings.value.seed,
    scheduler,
    choice: settings.value.scheduler,
  };
}
