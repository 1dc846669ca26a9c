/** @file The models of a runner that are in memory: loaded when a job first asks, let go by a budget of bytes. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackendFactory, type ComponentBackends, DiffusionPipeline, isWeightFile } from 'calotype';
import { type AddedSource, addedTo, type NamedSource } from '../models.ts';

/** How models are loaded, and how many. */
export interface LoadOptions {
  /** Backends to try, made anew for each model. */
  readonly backends: () => readonly BackendFactory[];
  /** Components on other backends, made anew likewise. */
  readonly componentBackends?: () => ComponentBackends;
  readonly dtype?: 'auto' | 'f16' | 'f32';
  /** Models to hold at once; default 1, or as many as the budget holds where there is one. */
  readonly held?: number;
  /**
   * Bytes that all models may take on the device together, as their backends count them. The one used longest ago goes
   * first, and none that draws; a model that alone takes more is held alone.
   */
  readonly memoryBytes?: number;
  /** Those of each model are loaded with it; their weights when a job first asks for them. */
  readonly controlnets?: readonly AddedSource[];
}

/** A model in use. */
export interface LoadedModel<T> {
  readonly pipe: DiffusionPipeline;
  /** What was made for it when it was loaded. */
  readonly held: T;
  /** Says that it is used no more. */
  release(): Promise<void>;
}

interface Entry<T> {
  readonly pipe: DiffusionPipeline;
  readonly held: T;
  users: number;
}

/** Pipelines by name. Calls of `take` must not overlap. */
export class LoadedModels<T> {
  readonly #options: LoadOptions;
  readonly #hold: (pipe: DiffusionPipeline) => T;
  /** The one that was used last comes last. */
  readonly #entries = new Map<string, Entry<T>>();
  /** Bytes that models took when they were last looked at. */
  readonly #measured = new Map<string, number>();

  constructor(options: LoadOptions, hold: (pipe: DiffusionPipeline) => T) {
    this.#options = options;
    this.#hold = hold;
  }

  /** A model, loaded if it is not there; release it after use. Throws what loading throws. */
  async take({ name, source }: NamedSource, signal: AbortSignal): Promise<LoadedModel<T>> {
    const before = this.#entries.get(name);
    if (before) before.users++;
    const entry = before ?? (await this.#load({ name, source }, signal));
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return {
      pipe: entry.pipe,
      held: entry.held,
      release: async () => {
        entry.users--;
        this.#measured.set(name, bytesOf(entry.pipe));
        // Weights come with the first picture, so that it is known only now.
        await this.#makeRoom(0, 0);
      },
    };
  }

  /** Frees all; their calls are waited for. */
  async dispose(): Promise<void> {
    for (const { pipe } of this.#entries.values()) await pipe.dispose();
    this.#entries.clear();
  }

  async #load({ name, source }: NamedSource, signal: AbortSignal): Promise<Entry<T>> {
    const { backends, componentBackends, dtype = 'auto' } = this.#options;
    await this.#makeRoom(this.#measured.get(name) ?? (await storedBytes(source)), 1);
    const load = isWeightFile(source) ? DiffusionPipeline.fromSingleFile : DiffusionPipeline.fromPretrained;
    const controlnet = addedTo(this.#options.controlnets ?? [], name).map((net) => net.source);
    const pipe = await load(source, {
      backends: backends(),
      ...(componentBackends && { componentBackends: componentBackends() }),
      dtype,
      signal,
      ...(controlnet.length > 0 && { controlnet }),
    });
    const entry = { pipe, held: this.#hold(pipe), users: 1 };
    this.#entries.set(name, entry);
    return entry;
  }

  /** Lets idle models go until so many more, of so many bytes, have room, or one is left. */
  async #makeRoom(bytes: number, models: number): Promise<void> {
    const { memoryBytes = Infinity, held = memoryBytes === Infinity ? 1 : Infinity } = this.#options;
    const isOver = (): boolean => {
      const taken = [...this.#entries.values()].reduce((sum, { pipe }) => sum + bytesOf(pipe), bytes);
      return taken > memoryBytes || this.#entries.size + models > held;
    };
    for (const [name, { pipe, users }] of this.#entries) {
      if (!isOver() || this.#entries.size + models === 1) return;
      if (users > 0) continue;
      this.#entries.delete(name);
      await pipe.dispose();
    }
  }
}

/** What the backend that denoises holds now; 0 where it does not count. */
function bytesOf({ backend }: DiffusionPipeline): number {
  return backend.memory?.deviceBytes ?? 0;
}

/** Bytes of the weights in a folder or of a file: what a model that was never loaded here is expected to take. */
async function storedBytes(source: string): Promise<number> {
  const found = await stat(source).catch(() => undefined);
  if (!found) return 0;
  if (!found.isDirectory()) return found.size;
  const files = (await readdir(source, { recursive: true })).filter(isWeightFile);
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(source, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
