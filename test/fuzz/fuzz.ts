/**
 * @file A seeded fuzzer: damaged inputs, one after the other, for parsers that must answer each with a result or a typed
 * error. CALOTYPE_FUZZ_SECONDS makes it go on for longer than usual, CALOTYPE_FUZZ_SEED elsewhere.
 */

import { expect, vi } from 'vitest';
import { CalotypeError } from '../../src/errors.ts';

const { CALOTYPE_FUZZ_SECONDS, CALOTYPE_FUZZ_SEED = '1' } = process.env;
/** How long each parser is given inputs: all of them together, about a minute. */
const SECONDS = Number(CALOTYPE_FUZZ_SECONDS ?? 9);
vi.setConfig({ testTimeout: 60_000 + 1000 * SECONDS });

/** Random numbers that are the same every time (mulberry32). */
export class FuzzRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `end` - 1. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

/** A text put together of fragments. */
export function randomText(random: FuzzRandom, fragments: readonly string[], most: number): string {
  return Array.from({ length: random.below(most + 1) }, () => random.pick(fragments)).join('');
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x7b, 0x7d, 0x2c, 0x5d];

/** Bytes with a few changes: bits flipped, values set, pieces removed, repeated or cut off. */
export function damage(random: FuzzRandom, source: Uint8Array): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer> = Uint8Array.from(source);
  for (let changes = 1 + random.below(4); changes > 0 && bytes.length > 0; changes--) {
    const at = random.below(bytes.length);
    const length = 1 + random.below(Math.min(16, bytes.length - at));
    switch (random.below(5)) {
      case 0:
        bytes[at] ^= 1 << random.below(8);
        break;
      case 1:
        bytes[at] = random.pick(INTERESTING);
        break;
      case 2:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)]);
        break;
      case 3:
        bytes = Uint8Array.from([...bytes.subarray(0, at + length), ...bytes.subarray(at)]);
        break;
      default:
        bytes = bytes.slice(0, at);
    }
  }
  return bytes;
}

/** Time that any one input may take; slow machines are slower than parsers are. */
const MAX_MILLISECONDS = 2000;

/** What became of the inputs. */
export interface FuzzCounts {
  readonly accepted: number;
  readonly refused: number;
}

/**
 * Runs a parser on one input after the other for a while, on a number of inputs at least. Throws, with the seed and the input, where one is answered with another error than a CalotypeError, or twice too late.
 */
export async function fuzz<Input>(
  make: (random: FuzzRandom) => Input,
  parse: (input: Input) => unknown,
  show: (input: Input) => string,
): Promise<FuzzCounts> {
  const first = Number(CALOTYPE_FUZZ_SEED);
  const end = performance.now() + 1000 * SECONDS;
  const counts = { accepted: 0, refused: 0 };
  for (let seed = first; performance.now() < end || seed < first + 50; seed++) {
    const input = make(new FuzzRandom(seed));
    const fail = (problem: string, cause?: unknown): never => {
      throw new Error(`CALOTYPE_FUZZ_SEED=${seed}${problem}: ${show(input)}`, { cause });
    };
    /** How long the parser took, in milliseconds. */
    const run = async (): Promise<number> => {
      const begin = performance.now();
      try {
        await parse(input);
        counts.accepted++;
      } catch (error) {
        if (!(error instanceof CalotypeError)) fail('', error);
        counts.refused++;
      }
      return performance.now() - begin;
    };
    // Once may be the fault of others, who share the processor.
    if ((await run()) > MAX_MILLISECONDS) {
      const taken = await run();
      if (taken > MAX_MILLISECONDS) fail(` took ${taken.toFixed(0)} ms`);
    }
  }
  return counts;
}

/** A fuzzer that only ever refuses, or never does, tests nothing. */
export function expectBoth({ accepted, refused }: FuzzCounts): void {
  expect(accepted).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
}
