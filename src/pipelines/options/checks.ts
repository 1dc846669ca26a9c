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

export function checkTexts(field: string, value: unknown): void {
  if (value === undefined || typeof value === 'string') return;
  if (!Array.isArray(value) || value.length === 0 || !value.every((text) => typeof text === 'string'))
    refuse(
      field,
      'it is neither a string nor a list of strings',
      'Give a string, or a non-empty list of strings',
    );
}

/** @throws OptionError unless `data` holds what `shape` says. */
export function checkTensor(field: string, tensor: Tensor | undefined): void {
  if (tensor === undefined) return;
  const count = tensor.shape.reduce((a, b) => a * b, 1);
  if (!(tensor.data instanceof Float32Array) || tensor.data.length !== count)
    refuse(
      field,
      `its data does not hold the ${count} float32 values of [${tensor.shape.join(', ')}]`,
      'Give { shape, data: Float32Array } with as many values as the shape says',
    );
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
