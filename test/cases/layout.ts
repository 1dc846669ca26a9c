/** @file Cases of the layout ops: concat, reshape, sliceChannels, upsampleNearest. */

import { activation, ROUNDING, type CaseOf } from './case.ts';

function concatCase(name: string, a: readonly number[], channels: number, bench = false): CaseOf<'concat'> {
  const inputs = { a: activation(a), b: activation([...a.slice(0, -1), channels]) };
  return { name: `concat/${name}`, kind: 'concat', inputs, attrs: {}, nmse: ROUNDING, bench };
}

export const concatCases: readonly CaseOf<'concat'>[] = [
  concatCase('96 + 48', [2, 8, 8, 96], 48),
  concatCase('7 + 33, odd size', [1, 5, 9, 7], 33),
  concatCase('1 + 1', [3, 1], 1),
  concatCase('4 + 5, 3 axes', [2, 17, 4], 5),
  concatCase('2 axes (SDXL add embeds)', [2, 1280], 1536),
  concatCase('SD1.5 640 + 320, 64x64', [2, 64, 64, 640], 320, true),
];

function reshapeCase(name: string, from: readonly number[], shape: readonly number[]): CaseOf<'reshape'> {
  return {
    name: `reshape/${name}`,
    kind: 'reshape',
    inputs: { x: activation(from) },
    attrs: { shape },
    nmse: { f32: 0, f16: 0 },
    bench: false,
  };
}

export const reshapeCases: readonly CaseOf<'reshape'>[] = [
  reshapeCase('image to tokens', [2, 5, 7, 33], [2, 35, 33]),
  reshapeCase('tokens to image', [2, 35, 33], [2, 5, 7, 33]),
  reshapeCase('flat', [3, 4], [12]),
];

function sliceCase(
  name: string,
  x: readonly number[],
  start: number,
  length: number,
): CaseOf<'sliceChannels'> {
  return {
    name: `sliceChannels/${name}`,
    kind: 'sliceChannels',
    inputs: { x: activation(x) },
    attrs: { start, length },
    nmse: ROUNDING,
    bench: false,
  };
}

export const sliceChannelsCases: readonly CaseOf<'sliceChannels'>[] = [
  sliceCase('first half (VAE mean)', [1, 8, 8, 8], 0, 4),
  sliceCase('second half', [2, 7, 5, 8], 4, 4),
  sliceCase('odd range', [2, 5, 33], 7, 13),
  sliceCase('one channel', [3, 9], 8, 1),
  sliceCase('all channels', [2, 6], 0, 6),
];

function upsampleCase(
  x: readonly number[],
  height: number,
  width: number,
  bench = false,
): CaseOf<'upsampleNearest'> {
  const [, fromHeight = 1, fromWidth = 1, channels = 1] = x;
  return {
    name: `upsampleNearest/${fromHeight}x${fromWidth} to ${height}x${width}, ${channels} channels`,
    kind: 'upsampleNearest',
    inputs: { x: activation(x) },
    attrs: { height, width },
    nmse: ROUNDING,
    bench,
  };
}

export const upsampleNearestCases: readonly CaseOf<'upsampleNearest'>[] = [
  upsampleCase([2, 8, 8, 32], 16, 16),
  upsampleCase([1, 5, 7, 33], 9, 13),
  upsampleCase([2, 5, 3, 7], 10, 6),
  upsampleCase([1, 3, 4, 8], 7, 11),
  upsampleCase([1, 1, 1, 5], 3, 2),
  upsampleCase([1, 9, 13, 4], 9, 13),
  upsampleCase([1, 10, 9, 4], 6, 4),
  upsampleCase([2, 32, 32, 640], 64, 64, true),
];

/** Parts begin at multiples of 256 bytes in f16 too, as devices ask of views. */
function windowCase(
  name: string,
  x: readonly number[],
  start: number,
  shape: readonly number[],
): CaseOf<'window'> {
  return {
    name: `window/${name}`,
    kind: 'window',
    inputs: { x: activation(x) },
    attrs: { start, shape },
    nmse: { f32: 0, f16: 0 },
    bench: false,
  };
}

export const windowCases: readonly CaseOf<'window'>[] = [
  windowCase('rows of an image', [1, 8, 8, 16], 256, [1, 3, 8, 16]),
  windowCase('second image', [2, 4, 4, 32], 512, [1, 4, 4, 32]),
  windowCase('all of it', [3, 128], 0, [3, 128]),
];

function joinCase(
  name: string,
  parts: readonly (readonly number[])[],
  shape: readonly number[],
): CaseOf<'join'> {
  return {
    name: `join/${name}`,
    kind: 'join',
    inputs: Object.fromEntries(parts.map((part, i) => [`p${i}`, activation(part)])),
    attrs: { shape },
    nmse: { f32: 0, f16: 0 },
    bench: false,
  };
}

export const joinCases: readonly CaseOf<'join'>[] = [
  joinCase(
    'bands of an image',
    [
      [1, 2, 8, 16],
      [1, 4, 8, 16],
      [1, 1, 8, 16],
    ],
    [1, 7, 8, 16],
  ),
  joinCase('one part', [[2, 64]], [2, 64]),
];
