/**
 * @file The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), the engine of torch's CPU generator.
 */

const SIZE = 624;
const SHIFT = 397;

/** A stream of 32-bit random integers. */
export class Mt19937 {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /** @param seed an unsigned 32-bit integer. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const previous = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /** The next random integer, 0 to 2^32 - 1. */
  uint32(): number {
    if (this.#next === SIZE) this.#refill();
    let y = this.#state[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** The low 53 bits of the next 64-bit integer (torch's `random64`: the first draw is the high word). */
  uint53(): number {
    const high = this.uint32() & 0x1fffff;
    return high * 2 ** 32 + this.uint32();
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
