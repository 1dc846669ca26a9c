/** @file The recorded programs of a denoising step: inputs written, tables filled, steps queued, latents read. */

import type { Program } from '../../backends/backend.ts';
import { PROMPT_ROW, STEP_ROW } from '../../passes/split-by-rate.ts';
import {
  coefficientColumns,
  packCoefficients,
  type GuidanceCoefficients,
} from '../../schedulers/coefficients.ts';
import type { StepCoefficients } from '../../schedulers/scheduler.ts';
import { toNchw, toNhwc, type ImageShape } from '../../tensor/layout.ts';
import type { DenoiseShape } from './denoise-parts.ts';

/** What repainting needs besides the latents; see `schedulers/repaint.ts`. */
export interface Repaint {
  /** [images, height, width]: 1 where the picture is painted anew, 0 where it is kept. */
  readonly mask: Float32Array;
  /** The image's latents [images, channels, height, width]. */
  readonly image: Float32Array;
  /** The noise that they are mixed with, of the same shape. */
  readonly noise: Float32Array;
}

interface Parts {
  readonly prompt: Program | undefined;
  readonly step: Program | undefined;
  readonly latent: Program;
}

/** What programs were compiled for, with the rows of the network's batch and the steps of their tables. */
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
  | 'readState'
  | 'setState'
  | 'latentsOf'
  | 'readLatents'
  | 'dispose'
>;

/** An image's schedule, where each has its own. */
export interface ImageSchedule {
  readonly steps: readonly StepCoefficients[];
  readonly guidance: GuidanceCoefficients;
}

/**
 * The recorded programs of one shape. Use: `setPrompt`, `setSchedule`, `setLatents`, then `step` for each step. Where each
 * image has a schedule of its own (`DenoiseShape.ownSchedules`): `setPrompt`, `setSchedules`, `setState`, then `stepEach`.
 */
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

  /** The first dimension of an input, if there is such an input. */
  rowsOf(input: string): number | undefined {
    const owner = this.programs.find(({ plan }) => plan.inputs.some(({ name }) => name === input));
    return owner?.tensor(input).shape[0];
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
  changePrompt(inputs: Readonly<Record<string, Float32Array | Int32Array>>): void {
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
    const { capacity } = this.#sizes;
    const { latent } = this.#parts;
    this.#fillTables(() => steps);
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

  /** Sets a schedule for each image, and fills the tables. */
  setSchedules(schedules: readonly ImageSchedule[]): void {
    const { images, capacity, slots } = this.#sizes;
    this.#fillTables((row) => schedules[row % images].steps);
    const { count } = coefficientColumns(slots);
    const table = new Float32Array(images * capacity * count);
    schedules.forEach(({ steps, guidance }, image) =>
      table.set(packCoefficients(steps, guidance), image * capacity * count),
    );
    this.#parts.latent.write('coefficients', table);
  }

  /** Computes what depends on timesteps: a row for each step and each row of the batch, which `stepsOf` gives the steps of. */
  #fillTables(stepsOf: (row: number) => readonly StepCoefficients[]): void {
    const { batch, capacity } = this.#sizes;
    const { step: tables } = this.#parts;
    if (!tables) return;
    const rows = Array.from({ length: capacity * batch }, (_, i) => i);
    const timestepOf = (row: number): number => {
      const steps = stepsOf(row % batch);
      return steps[Math.min(Math.floor(row / batch), steps.length - 1)].timestep;
    };
    const has = (name: string): boolean => tables.plan.inputs.some((input) => input.name === name);
    if (has('timestep')) tables.write('timestep', Float32Array.from(rows, timestepOf));
    if (has(PROMPT_ROW))
      tables.write(
        PROMPT_ROW,
        Int32Array.from(rows, (row) => row % batch),
      );
    tables.run();
  }

  /** Sets the whole state, as `readState` gave it. */
  setState(state: Float32Array): void {
    this.#parts.latent.write('state', state);
  }

  /** The state [slots, images, height, width, channels] after all queued steps: the latents and the scheduler's history. */
  async readState(): Promise<Float32Array> {
    return this.#parts.latent.read('state');
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
    if (this.#pixelRows.length > 0)
      this.#parts.latent.write(
        'pixelRow',
        this.#pixelRows.map((first) => first + index),
      );
    const { images } = this.#sizes;
    this.#queue(new Int32Array(images).fill(index), () => index, noise);
  }

  /** Queues each image's own step; `noise` as in `step`. */
  stepEach(indices: readonly number[], noise?: Float32Array): void {
    const { capacity } = this.#sizes;
    this.#queue(
      Int32Array.from(indices, (index, image) => image * capacity + index),
      (image) => indices[image],
      noise,
    );
  }

  /**
   * @param rows of the coefficient table, one for each image
   * @param indexOf the step of an image, which is a row in each block of the batch
   */
  #queue(rows: Int32Array, indexOf: (image: number) => number, noise: Float32Array | undefined): void {
    const { images, batch } = this.#sizes;
    const { latent } = this.#parts;
    latent.write('row', rows);
    if (latent.plan.inputs.some(({ name }) => name === STEP_ROW))
      latent.write(
        STEP_ROW,
        Int32Array.from({ length: batch }, (_, b) => indexOf(b % images) * batch + b),
      );
    if (noise) latent.write('noise', toNhwc(noise, this.#latentShape()));
    latent.run();
  }

  /** The latents [images, channels, height, width] after all queued steps. */
  async readLatents(): Promise<Float32Array> {
    return this.latentsOf(await this.readState());
  }

  /** The latents in a state that was read. */
  latentsOf(state: Float32Array): Float32Array {
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
