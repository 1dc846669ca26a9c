/** @file Reads the values of command-line options; what cannot be read is an OptionError that names the option. */
import { nearestNames, OptionError } from 'calotype';

/** Inclusive bounds of a number. */
interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/** A whole number in decimal digits, within bounds (default: the safe integers). */
export function readInteger(
  option: string,
  text: string,
  { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER }: Bounds = {},
): number {
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new OptionError(`'${text}' is not a whole number${range(min, max)}`, {
      field: option,
      remedy: `Give a whole number, such as ${option} ${Math.max(min, Math.min(max, 20))}.`,
    });
  }
  return value;
}

/** A finite number in decimal notation, within bounds (default: any). */
export function readNumber(
  option: string,
  text: string,
  { min = -Infinity, max = Infinity }: Bounds = {},
): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(Number.isFinite(value) && value >= min && value <= max)) {
    throw new OptionError(`'${text}' is not a number${range(min, max)}`, {
      field: option,
      remedy: `Give a number, such as ${option} ${Math.max(min, Math.min(max, 4))}.`,
    });
  }
  return value;
}

/** Pixels. */
interface Sides {
  readonly width: number;
  readonly height: number;
}

/** The largest side that the library takes. */
const MOST_PIXELS = 65_536;

/** `WIDTHxHEIGHT` in pixels, or one number for both. */
export function readSides(option: string, text: string): Sides {
  const match = /^(\d+)(?:[x×](\d+))?$/i.exec(text);
  const width = Number(match?.[1]);
  const height = Number(match?.[2] ?? match?.[1]);
  const remedy = `Give WIDTHxHEIGHT in pixels, such as ${option} 256x256.`;
  if (!match || width < 1 || height < 1)
    throw new OptionError(`'${text}' is not a size`, { field: option, remedy });
  if (Math.max(width, height) > MOST_PIXELS)
    throw new OptionError(`'${text}' is over ${MOST_PIXELS} pixels`, { field: option, remedy });
  return { width, height };
}

/** The same where each must be a multiple of 8, because the autoencoders shrink by 8. */
export function readSize(option: string, text: string): Sides {
  const { width, height } = readSides(option, text);
  if (width % 8 !== 0 || height % 8 !== 0) {
    const near = (pixels: number): number => Math.max(8, Math.round(pixels / 8) * 8);
    throw new OptionError(`${text} is not a multiple of 8 each way`, {
      field: option,
      remedy: `The nearest size is ${option} ${near(width)}x${near(height)}.`,
    });
  }
  return { width, height };
}

/** One of a closed list of words. */
export function readChoice<const T extends string>(option: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) {
    throw new OptionError(`'${text}' is not one of its choices`, {
      field: option,
      remedy: `${suggest(text, choices)}It takes ${choices.join(', ')}.`,
    });
  }
  return found;
}

/** `Did you mean X? ` for the nearest of some words, or nothing when none is near. */
export function suggest(word: string, known: readonly string[]): string {
  const [nearest] = nearestNames(word, known, 1, Math.max(1, Math.floor(word.length / 3)));
  return nearest === undefined ? '' : `Did you mean ${nearest}? `;
}

function range(min: number, max: number): string {
  const low = min > Number.MIN_SAFE_INTEGER ? ` from ${min}` : '';
  const high = max < Number.MAX_SAFE_INTEGER ? ` up to ${max}` : '';
  return low + high;
}
