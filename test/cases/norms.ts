/** @file Cases of groupNorm and layerNorm. */

import type { Activation } from '../../src/graph/op.ts';
import { ACCUMULATION, activation, state, vector, type CaseInput, type CaseOf } from './case.ts';

interface GroupNormCase {
  /** [batch, ..., channels] */
  readonly x: readonly number[];
  /** Channels of a second source; 0 for none. */
  readonly x2?: number;
  readonly groups?: number;
  readonly eps?: number;
  readonly activation?: Activation;
  /** Mean of x, to see cancellation in one-pass variances. */
  readonly mean?: number;
  readonly bench?: boolean;
}

function groupNormCase(name: string, options: GroupNormCase): CaseOf<'groupNorm'> {
  const { x, x2 = 0, groups = 32, eps = 1e-5, mean = 0.25, bench = false } = options;
  const channels = (x.at(-1) ?? 0) + x2;
  return {
    name: `groupNorm/${name}`,
    kind: 'groupNorm',
    inputs: {
      x: activation(x, 1, mean),
      ...(x2 ? { x2: activation([...x.slice(0, -1), x2], 2, mean) } : {}),
      weight: vector(channels, 1),
      bias: vector(channels),
    },
    attrs: { groups, eps, activation: options.activation ?? 'none' },
    nmse: ACCUMULATION,
    bench,
  };
}

function layerNormCase(
  name: string,
  x: readonly number[],
  options: { mean?: number; bench?: boolean } = {},
): CaseOf<'layerNorm'> {
  const channels = x.at(-1) ?? 1;
  return {
    name: `layerNorm/${name}`,
    kind: 'layerNorm',
    inputs: {
      x: activation(x, 1, options.mean ?? 0.25),
      weight: vector(channels, 1),
      bias: vector(channels),
    },
    attrs: { eps: 1e-5 },
    nmse: ACCUMULATION,
    bench: options.bench ?? false,
  };
}

export const groupNormCases: readonly CaseOf<'groupNorm'>[] = [
  groupNormCase('1 channel a group', { x: [2, 8, 8, 32] }),
  groupNormCase('2 channels a group, silu', { x: [1, 16, 16, 64], activation: 'silu' }),
  groupNormCase('3 channels a group', { x: [2, 8, 8, 96] }),
  groupNormCase('3 channels a group, silu', { x: [2, 16, 16, 96], activation: 'silu' }),
  groupNormCase('9 channels a group, odd size', { x: [2, 7, 5, 288], activation: 'silu' }),
  groupNormCase('10 channels a group', { x: [2, 9, 8, 320] }),
  groupNormCase('60 channels a group', { x: [1, 3, 5, 1920], activation: 'silu' }),
  groupNormCase('4 groups of 7', { x: [3, 5, 3, 28], groups: 4 }),
  groupNormCase('1 group', { x: [2, 6, 7, 20], groups: 1, activation: 'silu' }),
  groupNormCase('1 pixel', { x: [2, 1, 1, 64] }),
  groupNormCase('3 axes', { x: [2, 37, 96], eps: 1e-6 }),
  groupNormCase('many pixels', { x: [1, 64, 48, 32], activation: 'silu' }),
  groupNormCase('64 channels a group, many pixels', { x: [1, 20, 21, 128], groups: 2, activation: 'silu' }),
  groupNormCase('eps 1e-6', { x: [1, 8, 8, 96], eps: 1e-6 }),
  groupNormCase('large eps', { x: [1, 8, 8, 96], eps: 0.5 }),
  groupNormCase('large mean', { x: [1, 16, 16, 64], mean: 24 }),
  groupNormCase('two sources', { x: [2, 8, 8, 64], x2: 64, activation: 'silu' }),
  groupNormCase('two sources, boundary inside a group, 96 + 48', {
    x: [2, 8, 8, 96],
    x2: 48,
    groups: 16,
    activation: 'silu',
  }),
  groupNormCase('two sources, boundary inside a group, 40 + 24', { x: [2, 7, 5, 40], x2: 24, groups: 4 }),
  groupNormCase('two sources, boundary inside a group, 7 + 33', {
    x: [1, 5, 9, 7],
    x2: 33,
    groups: 5,
    activation: 'silu',
  }),
  groupNormCase('two sources, second in the first group', { x: [1, 6, 6, 5], x2: 59, groups: 8 }),
  groupNormCase('relu', { x: [1, 6, 6, 32], groups: 8, activation: 'relu' }),

  groupNormCase('SD1.5 320, 64x64', { x: [2, 64, 64, 320], activation: 'silu', bench: true }),
  groupNormCase('SD1.5 640 + 320, 64x64', { x: [2, 64, 64, 640], x2: 320, activation: 'silu', bench: true }),
  groupNormCase('SD1.5 1280 + 1280, 16x16', {
    x: [2, 16, 16, 1280],
    x2: 1280,
    activation: 'silu',
    bench: true,
  }),
  groupNormCase('SD1.5 1280, 8x8', { x: [2, 8, 8, 1280], activation: 'silu', bench: true }),
  groupNormCase('VAE decoder 256, 256x256', { x: [1, 256, 256, 256], activation: 'silu', bench: true }),
  groupNormCase('VAE decoder 128, 512x512', { x: [1, 512, 512, 128], activation: 'silu', bench: true }),
];

export const layerNormCases: readonly CaseOf<'layerNorm'>[] = [
  layerNormCase('96 channels', [2, 64, 96]),
  layerNormCase('48 channels', [2, 37, 48]),
  layerNormCase('7 channels', [3, 7]),
  layerNormCase('33 channels', [2, 5, 3, 33]),
  layerNormCase('1 row', [1, 320]),
  layerNormCase('768 channels, 77 tokens', [2, 77, 768]),
  layerNormCase('1280 channels', [1, 5, 1280]),
  layerNormCase('large mean', [2, 9, 64], { mean: 24 }),
  layerNormCase('SD1.5 320, 64x64', [2, 4096, 320], { bench: true }),
  layerNormCase('SD1.5 1280, 16x16', [2, 256, 1280], { bench: true }),
];

function rmsNormCase(name: string, x: readonly number[], scale = 1): CaseOf<'rmsNorm'> {
  return {
    name: `rmsNorm/${name}`,
    kind: 'rmsNorm',
    inputs: { x: activation(x, scale, scale / 2), weight: vector(x.at(-1) ?? 1, 1) },
    attrs: { eps: 1e-6 },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const rmsNormCases: readonly CaseOf<'rmsNorm'>[] = [
  rmsNormCase('96 channels', [2, 37, 96]),
  rmsNormCase('33 channels', [3, 5, 33]),
  rmsNormCase('large numbers', [1, 9, 64], 1000),
  rmsNormCase('small numbers', [1, 4, 128], 1e-3),
];

function adaLayerNormCase(
  name: string,
  x: readonly number[],
  [columns, shift, scale]: readonly [number, number, number],
  bench = false,
): CaseOf<'adaLayerNorm'> {
  const channels = x.at(-1) ?? 1;
  return {
    name: `adaLayerNorm/${name}`,
    kind: 'adaLayerNorm',
    inputs: {
      x: activation(x, 2, 1),
      modulation: activation([x[0], columns * channels], 0.5),
      table: vector(columns * channels),
    },
    attrs: { eps: 1e-6, shift: shift * channels, scale: scale * channels },
    nmse: ACCUMULATION,
    bench,
  };
}

export const adaLayerNormCases: readonly CaseOf<'adaLayerNorm'>[] = [
  adaLayerNormCase('96 channels', [3, 37, 96], [6, 0, 1]),
  adaLayerNormCase('33 channels', [2, 5, 3, 33], [6, 3, 4]),
  adaLayerNormCase('scale first', [2, 9, 48], [2, 1, 0]),
  adaLayerNormCase('1152 channels', [1, 5, 1152], [6, 3, 4]),
  adaLayerNormCase('PixArt 1024', [2, 4096, 1152], [6, 0, 1], true),
];

function statsCase(
  name: string,
  options: {
    readonly x: readonly number[];
    readonly x2?: number;
    readonly groups?: number;
    readonly mean?: number;
    readonly previous?: boolean;
  },
): CaseOf<'groupNormStats'> {
  const { x, x2 = 0, groups = 32, mean = 0.25, previous = false } = options;
  return {
    name: `groupNormStats/${name}`,
    kind: 'groupNormStats',
    inputs: {
      x: activation(x, 1, mean),
      ...(x2 ? { x2: activation([...x.slice(0, -1), x2], 2, mean) } : {}),
      ...(previous ? { previous: statistics(x[0] ?? 1, groups) } : {}),
    },
    attrs: { groups },
    nmse: ACCUMULATION,
    bench: false,
  };
}

/** Plausible statistics: 320 values of mean 0.5 and variance 1.5 in every group. */
function statistics(batch: number, groups: number): CaseInput {
  const values = Array.from({ length: batch * groups }, () => [320, 0.5, 480]).flat();
  return { ...state([batch, groups, 3]), fill: { kind: 'values', values } };
}

export const groupNormStatsCases: readonly CaseOf<'groupNormStats'>[] = [
  statsCase('3 channels a group', { x: [2, 40, 96] }),
  statsCase('9 channels a group, large mean', { x: [1, 35, 288], mean: 24 }),
  statsCase('two sources, boundary inside a group', { x: [1, 20, 40], x2: 24, groups: 4 }),
  statsCase('after other parts', { x: [2, 33, 64], previous: true }),
];

function applyCase(
  name: string,
  options: {
    readonly x: readonly number[];
    readonly x2?: number;
    readonly groups?: number;
    readonly activation?: Activation;
  },
): CaseOf<'groupNormApply'> {
  const { x, x2 = 0, groups = 32 } = options;
  const channels = (x.at(-1) ?? 0) + x2;
  return {
    name: `groupNormApply/${name}`,
    kind: 'groupNormApply',
    inputs: {
      x: activation(x, 1, 0.25),
      ...(x2 ? { x2: activation([...x.slice(0, -1), x2], 2, 0.25) } : {}),
      stats: statistics(x[0] ?? 1, groups),
      weight: vector(channels, 1),
      bias: vector(channels),
    },
    attrs: { groups, eps: 1e-5, activation: options.activation ?? 'none' },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const groupNormApplyCases: readonly CaseOf<'groupNormApply'>[] = [
  applyCase('3 channels a group', { x: [2, 40, 96] }),
  applyCase('9 channels a group, silu', { x: [1, 35, 288], activation: 'silu' }),
  applyCase('two sources, boundary inside a group', {
    x: [1, 20, 40],
    x2: 24,
    groups: 4,
    activation: 'silu',
  }),
];
