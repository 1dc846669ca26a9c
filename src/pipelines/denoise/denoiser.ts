/**
 * @file The denoising loop's device side: a network and a scheduler as programs that are recorded once and replayed.
 *
 * The step's graph is split by rate. The prompt program runs once a prompt, the step program once for a schedule,
 * and the latent program once a step; between steps the host writes only row numbers and, for schedulers that
 * draw it, noise. A new prompt, seed, schedule or guidance scale reuses the programs.
 */

import type { DeviceTensor, Program } from '../../backends/backend.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import { PROMPT_ROW, STEP_ROW } from '../../passes/split-by-rate.ts';
import { packCoefficients, type GuidanceCoefficients } from '../../schedulers/coefficients.ts';
import type { StepCoefficients } from '../../schedulers/scheduler.ts';
import { toNchw, toNhwc, type ImageShape } from '../../tensor/layout.ts';
import { cacheVariants, compileCached } from './cached-session.ts';
import { denoiseParts, type DenoisePart, type DenoiseParts, type DenoiseShape } from './denoise-parts.ts';
import { latentModelOf, type DenoiserConfig } from './denoiser-config.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';

/** Tables are made for a multiple of this many steps, so that programs outlive small changes of the step count. */
const STEP_BUCKET = 16;

/** What repainting needs besides the latents; see `schedulers/repaint.ts`. */
export interface Repaint {
  /** [images, height, width]: 1 where the picture is painted anew, 0 where it is kept. */
  readonly mask: Float32Array;
  /** The image's latents [images, channels, height, width]. */
  readonly image: Float32Array;
  /** The noise that they are mixed with, of the same shape. */
  readonly noise: Float32Array;
}

/** A network on a device that denoises, with the programs of the latest shapes. */
export class Denoiser {
  readonly network: Network;
  readonly #config: DenoiserConfig;
  readonly #programs = new RecentCache<DenoiseSession>(2);
  /** The graphs that were last asked for. */
  #latest: { readonly key: string; readonly parts: DenoiseParts } | undefined;

  constructor(network: Network, config: DenoiserConfig) {
    this.network = network;
    this.#config = config;
  }

  /** Programs for a shape and at least this many steps; compiled now unless they are cached. */
  async prepare(shape: DenoiseShape, steps: number, options: ProgramOptions = {}): Promise<DenoiseSession> {
    const capacity = tableSteps(steps);
    const compile = (variant: DenoiseShape, tensors?: ProgramOptions['tensors']): Promise<DenoisePrograms> =>
      compilePrograms(this.network, this.#config, variant, capacity, this.#parts(variant, capacity), {
        ...options,
        ...(tensors && { tensors }),
      });
    return this.#programs.get(JSON.stringify([shape, capacity]), () =>
      shape.cacheInterval === undefined
        ? compile(shape)
        : compileCached(shape.cacheInterval, (cache, tensors) => compile({ ...shape, cache }, tensors)),
    );
  }

  /** Begins to compile the kernels of a shape's programs, unless there are some. */
  warm(shape: DenoiseShape, steps: number): void {
    const capacity = tableSteps(steps);
    if (this.#programs.has(JSON.stringify([shape, capacity]))) return;
    const { prompt, step, latent } = this.#parts(shape, capacity);
    for (const part of [prompt, step, latent]) if (part) this.network.warm(part.graph, part.bindings);
  }

  /**
   * What the programs of a shape take; the one that runs at every step comes last.
   * @param lossy whether weights are float8
   */
  demands(shape: DenoiseShape, steps: number, lossy = false): PlanDemand[] {
    const variants = shape.cacheInterval === undefined ? [shape] : cacheVariants(shape);
    return variants.flatMap((variant) => {
      const { prompt, step, latent } = this.#parts(variant, tableSteps(steps));
      return [prompt, step, latent].flatMap((part) =>
        part ? [this.network.demand(part.graph, part.bindings, lossy)] : [],
      );
    });
  }

  /** Frees programs and weights; the next use makes them again. */
  release(): void {
    this.#programs.dispose();
    this.network.dispose();
  }

  /** Frees all programs, and these tensors of the network on the device: others are to take their place. */
  forget(tensors: readonly string[]): void {
    this.#programs.dispose();
    for (const tensor of tensors) this.network.forget(tensor);
  }

  dispose(): void {
    this.release();
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

interface Parts {
  readonly prompt: Program | undefined;
  readonly step: Program | undefined;
  readonly latent: Program;
}

type Sizes = DenoiseShape & { readonly channels: number; readonly batch: number; readonly capacity: number };

/** What a run needs of its programs. */
export type DenoiseSession = Pick<
  DenoisePrograms,
  | 'programs'
  | 'latentProgram'
  | 'setPrompt'
  | 'changePrompt'
  | 'setSchedule'
  | 'setLatents'
  | 'step'
  | 'readLatents'
  | 'dispose'
>;

/** The recorded programs of one shape. Use: `setPrompt`, `setSchedule`, `setLatents`, then `step` for each step. */
export class DenoisePrograms {
  readonly #sizes: Sizes;
  readonly #parts: Parts;
  /** For each pixel, where its rows begin in the coefficient table; empty without a mask. */
  #pixelRows = new Int32Array();

  constructor(sizes: Sizes, parts: Parts) {
    this.#sizes = sizes;
    this.#parts = parts;
  }

  /** The programs, for inspection and benchmarks. */
  get programs(): readonly Program[] {
    const { prompt, step, latent } = this.#parts;
    return [prompt, step, latent].filter((program) => program !== undefined);
  }

  /** The program that runs at every step. */
  get latentProgram(): Program {
    return this.#parts.latent;
  }

  /** Sets the network's prompt inputs (`encoder_hidden_states` [batch, tokens, channels], ...) and runs what depends on them alone. */
  setPrompt(inputs: Readonly<Record<string, Float32Array | Int32Array>>): void {
    for (const [name, data] of Object.entries(inputs)) {
      const owner = this.programs.find((program) => program.plan.inputs.some((input) => input.name === name));
      owner?.write(name, data);
    }
    this.#parts.prompt?.run();
  }

  /** The same between steps: also fills the tables anew if they depend on the prompt (SDXL's pooled text does). */
  changePrompt(inputs: Readonly<Record<string, Float32Array>>): void {
    this.setPrompt(inputs);
    const { step } = this.#parts;
    if (step?.plan.inputs.some(({ name }) => name === PROMPT_ROW)) step.run();
  }

  /**
   * Sets timesteps, coefficients and guidance of all steps and fills the tables; call it after `setPrompt`.
   * @param kept the steps outside the mask, for programs that repaint
   * @param inputs what else changes from step to step, by input: [steps, batch, ...]
   */
  setSchedule(
    steps: readonly StepCoefficients[],
    guidance: GuidanceCoefficients,
    kept?: readonly StepCoefficients[],
    inputs: Readonly<Record<string, Float32Array>> = {},
  ): void {
    const { batch, capacity } = this.#sizes;
    const { step: tables, latent } = this.#parts;
    const rows = Array.from({ length: capacity * batch }, (_, i) => i);
    const stepOf = (row: number): StepCoefficients | undefined =>
      steps[Math.min(Math.floor(row / batch), steps.length - 1)];
    if (tables) {
      const has = (name: string): boolean => tables.plan.inputs.some((input) => input.name === name);
      if (has('timestep'))
        tables.write(
          'timestep',
          Float32Array.from(rows, (row) => stepOf(row)?.timestep ?? 0),
        );
      if (has(PROMPT_ROW))
        tables.write(
          PROMPT_ROW,
          Int32Array.from(rows, (row) => row % batch),
        );
      tables.run();
    }
    const packed = packCoefficients(steps, guidance);
    const length = (packed.length / steps.length) * capacity;
    const table = new Float32Array(kept ? 2 * length : length);
    table.set(packed);
    if (kept) table.set(packCoefficients(kept, guidance), length);
    latent.write('coefficients', table);
    for (const [name, values] of Object.entries(inputs)) {
      const rows = new Float32Array((values.length / steps.length) * capacity);
      rows.set(values);
      latent.write(name, rows);
    }
  }

  /** Sets the latents [images, channels, height, width] and clears the scheduler's history. */
  setLatents(latents: Float32Array, repaint?: Repaint): void {
    const { slots, capacity } = this.#sizes;
    const tensors = repaint ? [repaint.image, repaint.noise] : [];
    const state = new Float32Array((slots + tensors.length) * latents.length);
    state.set(toNhwc(latents, this.#latentShape()));
    tensors.forEach((tensor, i) =>
      state.set(toNhwc(tensor, this.#latentShape()), (slots + i) * latents.length),
    );
    this.#parts.latent.write('state', state);
    this.#pixelRows = Int32Array.from(repaint?.mask ?? [], (painted) => (painted === 1 ? 0 : capacity));
  }

  /** Queues one step of all images; `noise` is [images, channels, height, width]. */
  step(index: number, noise?: Float32Array): void {
    const { images, batch } = this.#sizes;
    const { latent } = this.#parts;
    latent.write('row', new Int32Array(images).fill(index));
    if (this.#pixelRows.length > 0)
      latent.write(
        'pixelRow',
        this.#pixelRows.map((first) => first + index),
      );
    if (latent.plan.inputs.some(({ name }) => name === STEP_ROW))
      latent.write(
        STEP_ROW,
        Int32Array.from({ length: batch }, (_, b) => index * batch + b),
      );
    if (noise) latent.write('noise', toNhwc(noise, this.#latentShape()));
    latent.run();
  }

  /** The latents [images, channels, height, width] after all queued steps. */
  async readLatents(): Promise<Float32Array> {
    const state = await this.#parts.latent.read('state');
    const shape = this.#latentShape();
    return toNchw(state.subarray(0, shape[0] * shape[1] * shape[2] * shape[3]), shape);
  }

  dispose(): void {
    for (const program of this.programs.toReversed()) program.dispose();
  }

  #latentShape(): ImageShape {
    const { images, channels, height, width } = this.#sizes;
    return [images, channels, height, width];
  }
}
