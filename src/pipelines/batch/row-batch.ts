/**
 * @file The rows of a batch whose images are at steps of their own: who has which, and what the device is told of it.
 *
 * Programs exist for 1, 2, 4, ... images; the smallest that all fit into is used, and rows that nobody has repeat another's
 * work. When rows change, the state of all goes over the host, as float32 and so without a change; while they stay as they
 * are, a step costs what it costs a call of its own.
 */

import type { Denoiser } from '../denoise/denoiser.ts';
import type { DenoisePrograms } from '../denoise/denoise-programs.ts';
import type { BegunCall } from '../call-phases.ts';
import type { ProgramOptions } from '../network.ts';
import { batchPrompts, stack } from '../prompt/conditioning.ts';
import { toNchw, toNhwc } from '../../tensor/layout.ts';

type Values = Float32Array | Int32Array;
type Inputs = Readonly<Record<string, Values>>;

/** A call in a batch, with as many rows as it has images. */
export class BatchMember {
  readonly begun: BegunCall;
  /** Steps that were queued. */
  done = 0;
  /** What the network reads of it, at its present step. */
  inputs: Inputs;
  /** [slots][images, height, width, channels], as it was last read. */
  state: readonly Float32Array[];

  constructor(begun: BegunCall) {
    this.begun = begun;
    this.inputs = begun.inputs;
    const latents = toNhwc(begun.start.latents, begun.shape);
    this.state = Array.from({ length: begun.denoising.slots }, (_, slot) =>
      slot === 0 ? latents : new Float32Array(latents.length),
    );
  }

  get images(): number {
    return this.begun.shape[0];
  }

  get isDone(): boolean {
    return this.done === this.begun.steps.length;
  }

  /** [images, channels, height, width], as last read. */
  get latents(): Float32Array {
    return toNchw(this.state[0], this.begun.shape);
  }

  /** Noise of its next step, where that draws some. */
  drawNoise(): Float32Array | undefined {
    const { steps, noise, shape } = this.begun;
    return steps[this.done].usesNoise ? noise.draw(shape) : undefined;
  }

  /** Whether its prompts are others from its next step on; then its inputs are, too. */
  changePrompts(): boolean {
    const { prompts, blocks, options } = this.begun;
    const change = prompts.changes?.get(this.done);
    if (!change) return false;
    this.inputs = { ...this.inputs, ...batchPrompts(change, blocks, options.numImagesPerPrompt) };
    return true;
  }
}

/** What members of one batch have in common. */
export function batchKeyOf({ denoising }: BegunCall): string {
  return JSON.stringify({ ...denoising, images: 0 });
}

/** Rows on the device. */
export class RowBatch {
  readonly #denoiser: Denoiser;
  readonly #maxImages: number;
  #programs: DenoisePrograms | undefined;
  /** Images that the programs are for. */
  #size = 0;
  /** Steps that tables had to have room for so far. */
  #steps = 1;
  /** In the order of their rows; those that left are there until rows change. */
  #members: readonly BatchMember[] = [];
  /** Counts steps; `#read` is its value when the state was last read or written. */
  #queued = 0;
  #read = 0;

  constructor(denoiser: Denoiser, maxImages: number) {
    this.#denoiser = denoiser;
    this.#maxImages = maxImages;
  }

  /** Whether programs for fewer images would do for these members. */
  isTooLarge(members: readonly BatchMember[]): boolean {
    return this.#sizeFor(members) < this.#size;
  }

  /** Gives rows to these members; states of those that had some must have been read. */
  async arrange(members: readonly BatchMember[], options: ProgramOptions): Promise<void> {
    const [first] = members;
    const { denoising } = first.begun;
    this.#steps = Math.max(this.#steps, ...members.map(({ begun }) => begun.steps.length));
    this.#size = this.#sizeFor(members);
    this.#members = members;
    this.#programs = await this.#denoiser.prepareRows(
      { ...denoising, images: this.#size },
      this.#steps,
      options,
    );
    this.#read = this.#queued;
    this.#programs.setPrompt(this.#inputs());
    this.#programs.setSchedules(
      this.#rows((member) => ({ steps: member.begun.steps, guidance: member.begun.guidance })),
    );
    this.#programs.setState(
      stack(
        first.state.flatMap((_, slot) =>
          this.#rows(({ state, images }, row) => part(state[slot], row, images)),
        ),
      ),
    );
  }

  /** Queues the next step of these members; the other rows repeat a step, and nobody looks at them. */
  step(members: readonly BatchMember[]): void {
    const programs = this.#prepared();
    const live = new Set(members);
    const changed = members.filter((member) => member.changePrompts());
    if (changed.length > 0) programs.changePrompt(this.#inputs());
    const noises = new Map(members.map((member) => [member, member.drawNoise()]));
    const { denoising, shape } = members[0].begun;
    const length = shape[1] * shape[2] * shape[3];
    const none = new Float32Array(length);
    programs.stepEach(
      this.#rows((member) => Math.min(member.done, member.begun.steps.length - 1)),
      denoising.noise
        ? stack(
            this.#rows((member, row) => {
              const noise = live.has(member) ? noises.get(member) : undefined;
              return noise ? part(noise, row, member.images) : none;
            }),
          )
        : undefined,
    );
    for (const member of members) member.done++;
    this.#queued++;
  }

  /** Reads the state that all members have after the steps queued so far. */
  async read(): Promise<void> {
    const programs = this.#programs;
    const queued = this.#queued;
    if (!programs || this.#read === queued) return;
    const members = this.#members;
    const size = this.#size;
    const state = await programs.readState();
    const slots = members[0].state.length;
    const image = state.length / slots / size;
    let row = 0;
    for (const member of members) {
      const begin = row;
      member.state = Array.from({ length: slots }, (_, slot) =>
        state.slice((slot * size + begin) * image, (slot * size + begin + member.images) * image),
      );
      row += member.images;
    }
    this.#read = queued;
  }

  /** Forgets all members. */
  clear(): void {
    this.#programs = undefined;
    this.#members = [];
    this.#size = 0;
    this.#steps = 1;
  }

  #prepared(): DenoisePrograms {
    if (this.#programs) return this.#programs;
    throw new RangeError('A batch has no rows before they are arranged');
  }

  #sizeFor(members: readonly BatchMember[]): number {
    const images = members.reduce((sum, member) => sum + member.images, 0);
    return Math.min(2 ** Math.ceil(Math.log2(images)), Math.max(images, this.#maxImages));
  }

  /** Something for each image; rows that nobody has get that of the first. */
  #rows<T>(of: (member: BatchMember, row: number) => T): T[] {
    const rows = this.#members.flatMap((member) =>
      Array.from({ length: member.images }, (_, row) => of(member, row)),
    );
    while (rows.length < this.#size) rows.push(of(this.#members[0], 0));
    return rows;
  }

  /** The prompt inputs of all rows: block after block, and in each block image after image. */
  #inputs(): Inputs {
    const programs = this.#prepared();
    const [{ begun, inputs }] = this.#members;
    const blocks = begun.blocks.length;
    const entries = Object.entries(inputs).map(([name, shared]): [string, Values] => {
      // Positions, for one, are the same for all.
      if (programs.rowsOf(name) !== blocks * this.#size) return [name, shared];
      const joined = Array.from({ length: blocks }, (_, block) =>
        this.#rows((member, row) =>
          part(member.inputs[name], block * member.images + row, blocks * member.images),
        ),
      );
      return [name, join(joined.flat())];
    });
    return Object.fromEntries(entries);
  }
}

/** One of `count` equal parts. */
function part(data: Float32Array, index: number, count: number): Float32Array;
function part(data: Values, index: number, count: number): Values;
function part(data: Values, index: number, count: number): Values {
  const length = data.length / count;
  return data.subarray(index * length, (index + 1) * length);
}

/** Values of one type end to end. */
function join(parts: readonly Values[]): Values {
  const floats = parts.filter((values) => values instanceof Float32Array);
  return floats.length === parts.length
    ? stack(floats)
    : Int32Array.from(parts.flatMap((values) => Array.from(values)));
}
