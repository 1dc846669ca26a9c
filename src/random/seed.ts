/**
 * @file Seeds: what torch's `Generator.manual_seed` accepts, split into the two 32-bit words that generators use.
 */
import { OptionError } from '../errors.ts';

/** The two halves of a 64-bit seed, each an unsigned 32-bit integer. */
export interface SeedWords {
  readonly low: number;
  readonly high: number;
}

const LOWEST = -(2n ** 63n);
const HIGHEST = 2n ** 64n - 1n;

/**
 * Splits a seed into 32-bit words. As in torch, seeds run from -2^63 to 2^64 - 1 and a negative one stands for
 * itself plus 2^64. A number must be a safe integer (within ±2^53), since larger ones have lost digits already:
 * give those as a bigint.
 *
 * @throws OptionError when the seed is no integer or out of range.
 */
export function seedWords(seed: number | bigint): SeedWords {
  if (typeof seed !== 'bigint' && !Number.isSafeInteger(seed))
    throw new OptionError(`${seed} is not an integer that a number holds exactly`, {
      field: 'seed',
      remedy: 'Give an integer between -2^53 and 2^53, or a bigint for a larger one',
    });
  const wide = BigInt(seed);
  if (wide < LOWEST || wide > HIGHEST)
    throw new OptionError(`${seed} does not fit in 64 bits`, {
      field: 'seed',
      remedy: 'Give an integer from -2^63 to 2^64 - 1, as torch does',
    });
  const bits = BigInt.asUintN(64, wide);
  return { low: Number(bits & 0xffffffffn), high: Number(bits >> 32n) };
}
