/** @file Jobs as Redis holds them: JSON, with pictures by their names in the storage. Both ends check what they read. */
import { CalotypeError, HIRES_UPSCALERS, rebuildError, SCHEDULER_PRESET_NAMES, sendError } from 'calotype';
import * as v from 'valibot';
import {
  type DrawRequest,
  type DrawResult,
  type ImagePromptRequest,
  OUTPUT_FORMATS,
  type PngFile,
} from '../draw-request.ts';
import { JobTimeoutError, RunnerDiedError, UnavailableError } from '../errors.ts';
import { PHASES } from '../phases.ts';
import type { PictureStore } from '../storage/store.ts';

/** Name of the queue, and what all its keys begin with. */
export const QUEUE = { name: 'draw', prefix: 'calotype' } as const;
/** Where ids of jobs are published that nobody waits for any more. */
export const CANCEL_CHANNEL = 'calotype:cancel';

const seed = v.union([v.number(), v.object({ seed: v.number(), device: v.picklist(['cpu', 'cuda']) })]);
const requestEntries = {
  model: v.string(),
  prompt: v.string(),
  negativePrompt: v.exactOptional(v.string()),
  promptSyntax: v.picklist(['plain', 'webui']),
  width: v.exactOptional(v.number()),
  height: v.exactOptional(v.number()),
  numInferenceSteps: v.exactOptional(v.number()),
  guidanceScale: v.exactOptional(v.number()),
  guidanceRescale: v.exactOptional(v.number()),
  clipSkip: v.exactOptional(v.number()),
  eta: v.exactOptional(v.number()),
  seeds: v.array(seed),
  scheduler: v.exactOptional(v.picklist(SCHEDULER_PRESET_NAMES)),
  strength: v.exactOptional(v.number()),
  paddingMaskCrop: v.exactOptional(v.number()),
  previews: v.number(),
  output: v.exactOptional(v.object({ format: v.picklist(OUTPUT_FORMATS), quality: v.number() })),
  guessMode: v.exactOptional(v.boolean()),
  webuiSettings: v.exactOptional(v.record(v.string(), v.union([v.string(), v.number()]))),
  hires: v.exactOptional(
    v.strictObject({
      scale: v.exactOptional(v.number()),
      height: v.exactOptional(v.number()),
      width: v.exactOptional(v.number()),
      upscaler: v.exactOptional(v.picklist(HIRES_UPSCALERS)),
      strength: v.exactOptional(v.number()),
      numInferenceSteps: v.exactOptional(v.number()),
    }),
  ),
};
const promptEntries = { name: v.string(), image: v.string(), scale: v.number() };
const storedSchema = v.strictObject({
  ...requestEntries,
  /** Names in the storage. */
  image: v.exactOptional(v.string()),
  mask: v.exactOptional(
    v.strictObject({ png: v.string(), paint: v.picklist(['white', 'black', 'transparent']) }),
  ),
  controls: v.exactOptional(
    v.array(v.strictObject({ ...promptEntries, start: v.number(), end: v.number() })),
  ),
  imagePrompts: v.exactOptional(v.array(v.strictObject(promptEntries))),
});
/** A request in Redis. */
export type StoredRequest = v.InferOutput<typeof storedSchema>;

const resultSchema = v.object({
  pictures: v.array(
    v.object({
      /** Name in the storage. */
      file: v.string(),
      format: v.picklist(OUTPUT_FORMATS),
      width: v.number(),
      height: v.number(),
      seed: v.number(),
      parameters: v.string(),
    }),
  ),
  notices: v.array(v.string()),
  seconds: v.number(),
  // Workers of an earlier version do not tell.
  phases: v.optional(v.object(v.entriesFromList(PHASES, v.exactOptional(v.number()))), {}),
  busySeconds: v.optional(v.number(), 0),
});
/** A result in Redis. */
export type StoredResult = v.InferInput<typeof resultSchema>;

export const progressSchema = v.object({
  done: v.number(),
  total: v.number(),
  /** PNG files in base64. */
  previews: v.array(v.string()),
});

/** Puts a request's pictures into the storage. */
export async function storeRequest(
  id: string,
  request: DrawRequest,
  store: PictureStore,
): Promise<StoredRequest> {
  const { image, mask, controls, imagePrompts, ...plain } = request;
  const put = async (name: string, png: PngFile): Promise<string> => {
    await store.put(`${id}/${name}.png`, png);
    return `${id}/${name}.png`;
  };
  const putAll = async <T extends ImagePromptRequest>(kind: string, list: readonly T[]) =>
    Promise.all(list.map(async (one, i) => ({ ...one, image: await put(`${kind}-${i}`, one.image) })));
  return {
    ...plain,
    seeds: [...plain.seeds],
    ...(image && { image: await put('image', image) }),
    ...(mask && { mask: { png: await put('mask', mask.png), paint: mask.paint } }),
    ...(controls && { controls: await putAll('control', controls) }),
    ...(imagePrompts && { imagePrompts: await putAll('prompt', imagePrompts) }),
  };
}

/** Gets them back. Throws what valibot throws for data of another version. */
export async function loadRequest(data: unknown, store: PictureStore): Promise<DrawRequest> {
  const { image, mask, controls, imagePrompts, ...plain } = v.parse(storedSchema, data);
  const getAll = async <T extends { readonly image: string }>(list: readonly T[]) =>
    Promise.all(list.map(async (one) => ({ ...one, image: await store.get(one.image) })));
  return {
    ...plain,
    ...(image !== undefined && { image: await store.get(image) }),
    ...(mask && { mask: { png: await store.get(mask.png), paint: mask.paint } }),
    ...(controls && { controls: await getAll(controls) }),
    ...(imagePrompts && { imagePrompts: await getAll(imagePrompts) }),
  };
}

/** Removes them. */
export async function forgetRequest(data: unknown, store: PictureStore): Promise<void> {
  const { image, mask, controls = [], imagePrompts = [] } = v.parse(storedSchema, data);
  const prompts = [...controls, ...imagePrompts].map((one) => one.image);
  for (const name of [image, mask?.png, ...prompts]) if (name !== undefined) await store.remove(name);
}

/** Puts the pictures of a result into the storage. Those of a second attempt replace the first's, which are the same. */
export async function storeResult(
  id: string,
  result: DrawResult,
  store: PictureStore,
): Promise<StoredResult> {
  const pictures: StoredResult['pictures'] = [];
  for (const [i, { file, ...picture }] of result.pictures.entries()) {
    const name = `${id}/${i}.${picture.format}`;
    await store.put(name, file);
    pictures.push({ ...picture, file: name });
  }
  return { ...result, pictures, notices: [...result.notices] };
}

/** Gets them back. */
export async function loadResult(data: unknown, store: PictureStore): Promise<DrawResult> {
  const { pictures, ...result } = v.parse(resultSchema, data);
  return {
    ...result,
    pictures: await Promise.all(
      pictures.map(async ({ file, ...picture }) => ({ ...picture, file: await store.get(file) })),
    ),
  };
}

/** An error as the text that Redis keeps of it. */
export function failureText(error: unknown): string {
  return JSON.stringify(sendError(error));
}

const sentSchema = v.object({
  code: v.optional(v.string()),
  name: v.string(),
  message: v.string(),
  problem: v.string(),
  file: v.optional(v.string()),
  field: v.optional(v.string()),
  remedy: v.string(),
  attempts: v.array(v.object({ backend: v.string(), reason: v.string(), remedy: v.string() })),
});

const OWN = { 'job-timeout': JobTimeoutError, 'runner-died': RunnerDiedError, unavailable: UnavailableError };

/** The error behind a text; BullMQ's own texts are of jobs whose workers died too often. */
export function failureOf(text: string): Error {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), sentSchema), text);
  if (!parsed.success)
    return new RunnerDiedError(`the job's workers died (${text})`, {
      remedy: 'Try again; if it happens again, look at the logs of the workers',
    });
  const { code, file, field, ...sent } = parsed.output;
  const Own = Object.entries(OWN).find(([own]) => own === code)?.[1];
  return Own ? new Own(sent.problem, sent) : rebuildError({ code, file, field, ...sent });
}

/** Whether another worker may do better. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof CalotypeError && ['runner-died', 'device-lost', 'unavailable'].includes(error.code);
}
