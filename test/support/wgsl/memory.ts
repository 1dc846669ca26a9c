/**
 * @file What a shader's variables in memory are bound to. Stricter than a GPU: reading or writing outside a binding is an
 * error, and so is a data race in workgroup memory (two lanes at one place without a barrier between, one of them writing).
 */

/** Bits of a stamp that say which lane it was. */
const AGENT_BITS = 12;

/** The agent of a place that several have read. */
const SEVERAL = (1 << AGENT_BITS) - 1;

/** Who has touched which place of a workgroup's memory since the last barrier. */
export class RaceWatch {
  /** Who runs: a lane, or `FIRST_SUBGROUP` and more for what a subgroup does together. */
  agent = 0;
  /** Barriers so far. */
  phase = 1;
  readonly #unit: number;
  readonly #reads: Float64Array;
  readonly #writes: Float64Array;

  /** @param unit bytes of the smallest things in it */
  constructor(bytes: number, unit: number) {
    this.#unit = unit;
    this.#reads = new Float64Array(Math.ceil(bytes / unit));
    this.#writes = new Float64Array(Math.ceil(bytes / unit));
  }

  /** Whether this access races with one before it. */
  races(offset: number, bytes: number, write: boolean): boolean {
    const start = this.phase * 2 ** AGENT_BITS;
    const stamp = start + this.agent;
    for (let i = Math.floor(offset / this.#unit); i * this.#unit < offset + bytes; i++) {
      const written = this.#writes[i];
      if (written >= start && written !== stamp) return true;
      const read = this.#reads[i];
      if (write) {
        if (read >= start && read !== stamp) return true;
        this.#writes[i] = stamp;
      } else this.#reads[i] = read >= start && read !== stamp ? start + SEVERAL : stamp;
    }
    return false;
  }
}

/** Agents from here on are subgroups. */
export const FIRST_SUBGROUP = 2048;

/** A range of a buffer, or a variable of a workgroup. */
export class Memory {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly f32: Float32Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u16: Uint16Array;
  readonly i8: Int8Array;
  /** Of workgroup memory. */
  readonly watch: RaceWatch | undefined;

  constructor(name: string, buffer: ArrayBuffer, base: number, size: number, watch?: RaceWatch) {
    this.name = name;
    this.base = base;
    this.size = size;
    this.f32 = new Float32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i8 = new Int8Array(buffer);
    this.watch = watch;
  }

  /** Whether an atomic has this value: storing it once more changes nothing, and races with no one. */
  holds(offset: number, value: number): boolean {
    return this.u32[(this.base + offset) / 4] === value >>> 0;
  }

  /** Where an offset is in the arrays, in bytes; throws RangeError outside, Error for a race. */
  at(offset: number, bytes: number, write: boolean): number {
    if (!(offset >= 0 && offset + bytes <= this.size))
      throw new RangeError(
        `${write ? 'writes' : 'reads'} ${bytes} bytes at ${offset} of ${this.name}, which has ${this.size}`,
      );
    if (this.watch?.races(offset, bytes, write) === true)
      throw new Error(
        `a data race: lane ${this.watch.agent} ${write ? 'writes' : 'reads'} ${this.name} at ${offset} as another does`,
      );
    return this.base + offset;
  }
}
