/** @file What is loaded beside the model: LoRAs with their weights, and learned words. */
import { signal } from '@preact/signals';
import type { WorkerFile } from 'calotype/worker';
import { busyWith, report, worker } from './engine.ts';

/** A LoRA. */
export interface Lora {
  readonly name: string;
  readonly from: WorkerFile;
  readonly weight: number;
  /** What is to be said about it. */
  readonly notices: readonly string[];
}

/** Learned words of one file. */
export interface Embedding {
  readonly words: readonly string[];
  readonly from: WorkerFile;
}

export const loras = signal<readonly Lora[]>([]);
export const embeddings = signal<readonly Embedding[]>([]);

/** Loads a LoRA beside the model. */
export async function addLora(from: WorkerFile): Promise<void> {
  const name = unusedName(nameOf(from));
  await busyWith({ kind: 'loading', what: name }, async (signal) => {
    const notices = await loadLora(name, from, signal);
    loras.value = [...loras.value, { name, from, weight: 1, notices }];
  });
}

/** Takes a LoRA away. */
export async function removeLora(name: string): Promise<void> {
  await worker.deleteAdapters([name]);
  loras.value = loras.value.filter((lora) => lora.name !== name);
}

/** Sets how much of a LoRA is added. */
export function weighLora(name: string, weight: number): void {
  loras.value = loras.value.map((lora) => (lora.name === name ? { ...lora, weight } : lora));
}

/** Lets the sliders count for the pictures that follow. */
export async function applyWeights(): Promise<void> {
  const used = loras.value.filter(({ weight }) => weight !== 0);
  if (loras.value.length === 0) return;
  await worker.setAdapters(
    used.map(({ name }) => name),
    used.map(({ weight }) => weight),
  );
}

/** Adds the words of a file to those that prompts may have. A file that names none has its own name as its word. */
export async function addEmbedding(from: WorkerFile): Promise<void> {
  await busyWith({ kind: 'loading', what: nameOf(from) }, async (signal) => {
    const words = await loadWords(from, signal);
    embeddings.value = [...embeddings.value, { words, from }];
  });
}

/** Takes the words of a file away. */
export async function removeEmbedding({ words }: Embedding): Promise<void> {
  await worker.unloadTextualInversion(words);
  embeddings.value = embeddings.value.filter((other) => other.words !== words);
}

/** Loads everything again, after the model was. */
export async function addAgain(signal: AbortSignal): Promise<void> {
  for (const { name, from } of loras.value) await loadLora(name, from, signal);
  for (const { from } of embeddings.value) await loadWords(from, signal);
}

/** Another model has none of it. */
export function clearAdditions(): void {
  [loras.value, embeddings.value] = [[], []];
}

function loadLora(adapterName: string, from: WorkerFile, signal: AbortSignal): Promise<readonly string[]> {
  return worker.loadLoraWeights(from, { adapterName }, { signal, onProgress: report });
}

async function loadWords(from: WorkerFile, signal: AbortSignal): Promise<readonly string[]> {
  const request = { signal, onProgress: report };
  try {
    return await worker.loadTextualInversion(from, {}, request);
  } catch (error) {
    // sd-webui's files do not tell their word: there it is the file's name.
    if (!(error instanceof Error) || Reflect.get(error, 'field') !== 'token') throw error;
    return worker.loadTextualInversion(from, { token: nameOf(from) }, request);
  }
}

/** A file's name without folder and ending, or a repository's. */
function nameOf(from: WorkerFile): string {
  const path = typeof from === 'string' ? from : from.name;
  return (path.split('/').at(-1) ?? path).replace(/\.safetensors$/, '');
}

function unusedName(wanted: string): string {
  const isUsed = (name: string): boolean => loras.value.some((lora) => lora.name === name);
  let name = wanted;
  for (let count = 2; isUsed(name); count++) name = `${wanted} ${count}`;
  return name;
}
