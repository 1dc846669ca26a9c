/** @file What was loaded beside a model: kept, so that it is there again where the pipeline is opened anew. */
import { blobSource, type ByteSource } from '../loaders/byte-source.ts';
import type { DiffusionPipeline } from '../pipelines/diffusion-pipeline.ts';
import type { AdapterWeight } from '../pipelines/lora/adapter-weights.ts';
import type { ProgressListener } from '../pipelines/progress.ts';
import type { WorkerFile, WorkerInversionOptions, WorkerLoraOptions } from './protocol.ts';

/** Who hears of a load, and what ends it. */
interface Loading {
  readonly signal: AbortSignal;
  readonly progress?: ProgressListener;
}
type Load<Gives> = (pipe: DiffusionPipeline, loading: Loading) => Promise<Gives>;

/** A file of the page as the library takes it. */
export function sourceOf(file: WorkerFile): string | ByteSource {
  return typeof file === 'string' ? file : blobSource(file.name, file.file);
}

/** LoRA adapters and learned words of one model. */
export class Additions {
  readonly #adapters = new Map<string, Load<void>>();
  /** Files with those of their words that are wanted. */
  readonly #words = new Map<Load<readonly string[]>, Set<string>>();
  #active: readonly [names: readonly string[], weights: readonly AdapterWeight[]] | undefined;

  /** Loads everything again, onto another pipeline. */
  async restore(pipe: DiffusionPipeline, signal: AbortSignal): Promise<void> {
    for (const [load, wanted] of this.#words) {
      const others = (await load(pipe, { signal })).filter((word) => !wanted.has(word));
      if (others.length > 0) await pipe.unloadTextualInversion(others);
    }
    for (const load of this.#adapters.values()) await load(pipe, { signal });
    if (this.#active) await pipe.setAdapters(...this.#active);
  }

  async addAdapter(
    pipe: DiffusionPipeline,
    file: WorkerFile,
    options: WorkerLoraOptions,
    loading: Loading,
  ): Promise<void> {
    const load: Load<void> = (onto, { signal, progress }) =>
      onto.loadLoraWeights(sourceOf(file), { ...options, signal, ...(progress && { onProgress: progress }) });
    await load(pipe, loading);
    this.#adapters.set(options.adapterName, load);
    this.#active = undefined;
  }

  async setAdapters(
    pipe: DiffusionPipeline,
    names: readonly string[],
    weights: readonly AdapterWeight[],
  ): Promise<void> {
    await pipe.setAdapters(names, weights);
    this.#active = [names, weights];
  }

  async deleteAdapters(pipe: DiffusionPipeline, names: readonly string[]): Promise<void> {
    await pipe.deleteAdapters(names);
    for (const name of names) this.#adapters.delete(name);
    if (!this.#active) return;
    const left = this.#active[0].flatMap((name, i) => (names.includes(name) ? [] : [i]));
    const [active, weights] = this.#active;
    this.#active = [left.map((i) => active[i]), left.map((i) => weights[i])];
    await pipe.setAdapters(...this.#active);
  }

  async addWords(
    pipe: DiffusionPipeline,
    file: WorkerFile,
    options: WorkerInversionOptions,
    loading: Loading,
  ): Promise<readonly string[]> {
    const load: Load<readonly string[]> = (onto, { signal }) =>
      onto.loadTextualInversion(sourceOf(file), { ...options, signal });
    const words = await load(pipe, loading);
    this.#words.set(load, new Set(words));
    return words;
  }

  async removeWords(pipe: DiffusionPipeline, words: readonly string[]): Promise<void> {
    await pipe.unloadTextualInversion(words);
    for (const [load, wanted] of this.#words) {
      for (const word of words) wanted.delete(word);
      if (wanted.size === 0) this.#words.delete(load);
    }
  }
}
