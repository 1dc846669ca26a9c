/**
 * @file The denoising loop's device side: a network and a scheduler as programs that are recorded once and replayed.
 *
 * The step's graph is split by rate. The prompt program runs once a prompt, the step program once for a schedule,
 * and the latent program once a step; between steps the host writes only row numbers and, for schedulers that
 * draw it, noise. A new prompt, seed, schedule or guidance scale reuses the programs (`denoise-programs.ts`).
 */

import type { DeviceTensor, Program } from '../../backends/backend.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import { later } from '../../later.ts';
import { PROMPT_ROW } from '../../passes/split-by-rate.ts';
import { denoiseParts, type DenoisePart, type DenoiseParts, type DenoiseShape } from './denoise-parts.ts';
import { DenoisePrograms, type DenoiseSession } from './denoise-programs.ts';
import { latentModelOf, type DenoiserConfig } from './denoiser-config.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';

/** Tables are made for a multiple of this many steps, so that programs outlive small changes of the step count. */
const STEP_BUCKET = 16;

/** Shapes of a batch that images join and leave whose programs are kept: its sizes, 1, 2, 4, ... */
const ROW_SHAPES = 5;

/** A network on a device that denoises, with the programs of the latest shapes. */
export class Denoiser {
  readonly network: Network;
  readonly #config: DenoiserConfig;
  readonly #programs = new RecentCache<DenoiseSession>(2);
  readonly #rows = new RecentCache<DenoisePrograms>(ROW_SHAPES);
  /** The graphs that were last asked for. */
  #latest: { readonly key: string; readonly parts: DenoiseParts } | undefined;

  constructor(network: Network, config: DenoiserConfig) {
    this.network = network;
    this.#config = config;
  }

  /** Programs for a shape and at least this many steps; compiled now unless they are cached. */
  async prepare(shape: DenoiseShape, steps: number, options: ProgramOptions = {}): Promise<DenoiseSession> {
    const capacity = tableSteps(steps);
    return this.#programs.get(JSON.stringify([shape, capacity]), async () => {
      const { cacheInterval } = shape;
      if (cacheInterval === undefined) return this.#compile(shape, capacity, options);
      const { compileCached } = await later('feature caching', () => import('./cached-session.ts'));
      return compileCached(cacheInterval, (cache, tensors) =>
        this.#compile({ ...shape, cache }, capacity, { ...options, ...(tensors && { tensors }) }),
      );
    });
  }

  /** The same for images each of which has a schedule of its own. */
  async prepareRows(
    shape: DenoiseShape,
    steps: number,
    options: ProgramOptions = {},
  ): Promise<DenoisePrograms> {
    const capacity = tableSteps(steps);
    const own = { ...shape, ownSchedules: true };
    return this.#rows.get(JSON.stringify([own, capacity]), () => this.#compile(own, capacity, options));
  }

  /** Begins to compile the kernels of a shape's programs, unless there are some. */
  warm(shape: DenoiseShape, steps: number): void {
    const capacity = tableSteps(steps);
    if (this.#programs.has(JSON.stringify([shape, capacity]))) return;
    const { prompt, step, latent } = this.#parts(shape, capacity);
    for (const part of [prompt, step, latent]) if (part) this.network.warm(part.graph, part.bindings);
  }

  /** What the programs of a shape take; the one that runs at every step comes last. */
  demands(shape: DenoiseShape, steps: number): PlanDemand[] {
    const roles = shape.cacheInterval === undefined ? [undefined] : (['fill', 'use'] as const);
    const variants = roles.map((cache) => (cache ? { ...shape, cache } : shape));
    return variants.flatMap((variant) => {
      const { prompt, step, latent } = this.#parts(variant, tableSteps(steps));
      return [prompt, step, latent].flatMap((part) =>
        part ? [this.network.demand(part.graph, part.bindings)] : [],
      );
    });
  }

  /** Frees programs and weights; the next use makes them again. */
  release(): void {
    this.#disposePrograms();
    this.network.vacate();
  }

  /** Frees all programs, and these tensors of the network on the device: others are to take their place. */
  forget(tensors: readonly string[]): void {
    this.#disposePrograms();
    for (const tensor of tensors) this.network.forget(tensor);
  }

  dispose(): void {
    this.release();
    this.network.dispose();
  }

  #disposePrograms(): void {
    this.#programs.dispose();
    this.#rows.dispose();
  }

  #compile(shape: DenoiseShape, capacity: number, options: ProgramOptions): Promise<DenoisePrograms> {
    return compilePrograms(
      this.network,
      this.#config,
      shape,
      capacity,
      this.#parts(shape, capacity),
      options,
    );
  }

  #parts(shape: DenoiseShape, capacity: number): DenoiseParts {
    const key = JSON.stringify([shape, capacity]);
    if (this.#latest?.key !== key) {
      const { backend, dtype } = this.network;
      this.#latest = { key, parts: denoiseParts(this.#config, shape, capacity, backend.target(dtype)) };
    }
    return this.#latest.parts;
  }
}

/** Steps that tables are made for. */
function tableSteps(steps: number): number {
  return Math.ceil(Math.max(steps, 1) / STEP_BUCKET) * STEP_BUCKET;
}

async function compilePrograms(
  network: Network,
  config: DenoiserConfig,
  shape: DenoiseShape,
  capacity: number,
  parts: DenoiseParts,
  { tensors, signal, onProgress }: ProgramOptions,
): Promise<DenoisePrograms> {
  const shared = new Map<string, DeviceTensor>(tensors);
  const made: Program[] = [];
  const add = async ({ graph, bindings }: DenoisePart): Promise<Program> => {
    const program = await network.compile(graph, bindings, { tensors: shared, signal, onProgress });
    made.push(program);
    for (const { name } of program.plan.tensors)
      if (!shared.has(name)) shared.set(name, program.tensor(name));
    return program;
  };
  try {
    const prompt = parts.prompt && (await add(parts.prompt));
    const promptNames = new Set(shared.keys());
    const step = parts.step && (await add(parts.step));
    // Rows and timesteps of the step program are its own: the latent program has inputs of other sizes.
    for (const name of [PROMPT_ROW, 'timestep']) if (!promptNames.has(name)) shared.delete(name);
    const latent = await add(parts.latent);
    return new DenoisePrograms(
      { ...shape, channels: latentModelOf(config).outChannels, batch: parts.batch, capacity },
      { prompt, step, latent },
    );
  } catch (error) {
    for (const program of made) program.dispose();
    throw error;
  }
}
