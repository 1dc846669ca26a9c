/** @file Checks on single values that users give. */

import { OptionError } from '../../errors.ts';
import type { Tensor } from './call-options.ts';

/** @throws OptionError */
export function refuse(field: string, problem: string, remedy: string): never {
  throw new OptionError(problem, { field, remedy });
}

export function inRange(field: string, value: unknown, least: number, most: number, integer: boolean): void {
  if (value === undefined) return;
  const fits =
    typeof value === 'number' && value >= least && value <= most && (!integer || Number.isInteger(value));
  if (!fits) {
    const kind = integer ? 'a whole number' : 'a number';
    const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
    refuse(
      field,
      `${typeof value === 'number' ? value : JSON.stringify(value)} is not ${kind} ${range}`,
      `Give ${kind} ${range}`,
    );
  }
}

/** A side of a picture, in pixels: at least one latent and, unless told otherwise, a multiple of that. */
export function checkSide(
  field: string,
  side: number | undefined,
  granularity: number,
  multiple = granularity,
): void {
  inRange(field, side, granularity, 65536, true);
  if (side !== undefined && side % multiple !== 0)
    refuse(
      field,
      `${side} is not a multiple of ${multiple}`,
      `Use ${Math.max(1, Math.round(side / multiple)) * multiple}`,
    );
}

export function checkTexts(field: string, value: unknown): void {
  if (value === undefined || typeof value === 'string') return;
  if (!Array.isArray(value) || value.length === 0 || !value.every((text) => typeof text === 'string'))
    refuse(
      field,
      'it is neither a string nor a list of strings',
      'Give a string, or a non-empty list of strings',
    );
}

/** @throws OptionError unless `data` holds what `shape` says, in finite numbers. */
export function checkTensor(field: string, value: unknown): asserts value is Tensor | undefined {
  if (value === undefined) return;
  const shape: unknown = typeof value === 'object' && value !== null && 'shape' in value && value.shape;
  const data: unknown = typeof value === 'object' && value !== null && 'data' in value && value.data;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isInteger(size) && size >= 0))
    refuse(field, 'it has no shape of whole numbers', 'Give { shape, data: Float32Array }');
  const count = shape.map(Number).reduce((a, b) => a * b, 1);
  if (!(data instanceof Float32Array) || data.length !== count)
    return refuse(
      field,
      `its data does not hold the ${count} float32 values of [${shape.join(', ')}]`,
      'Give { shape, data: Float32Array } with as many values as the shape says',
    );
  if (!data.every(Number.isFinite))
    refuse(field, 'its values are not all finite', 'Check where they come from');
}

/** A list of numbers, such as timesteps. */
export function checkNumbers(field: string, value: unknown): void {
  if (value === undefined) return;
  if (!Array.isArray(value) || value.length === 0 || !value.every(Number.isFinite))
    refuse(field, 'it is no list of numbers', 'Give a list with one number or more');
}

export function checkFunction(field: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function')
    refuse(field, `it is a value of the type ${typeof value}`, 'Give a function');
}

/** By what it can do: signals of other realms and polyfills are no instances of this AbortSignal. */
export function checkSignal(value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== 'object' || value === null || !('throwIfAborted' in value))
    refuse('signal', 'it is no AbortSignal', 'Give the signal of an AbortController');
}

export function checkFlag(field: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean')
    refuse(field, 'it is neither true nor false', 'Give true or false');
}

export function checkPair(field: string, pair: readonly number[] | undefined): void {
  if (pair !== undefined && (pair.length !== 2 || !pair.every((value) => Number.isFinite(value))))
    refuse(field, 'it is not a pair of numbers', 'Give two numbers, as [height, width] or [top, left]');
}

/** A text option as a list, one for each prompt. */
export function textList(field: string, value: string | readonly string[], count: number): readonly string[] {
  if (typeof value === 'string') return Array.from({ length: count }, () => value);
  if (value.length !== count)
    refuse(field, `it has ${value.length} texts for ${count} prompts`, `Give one text, or ${count}`);
  return value;
}
