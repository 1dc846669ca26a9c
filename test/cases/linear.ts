/** @file Cases of linear: row counts from 1 up, odd sums, every epilogue, and the projections of SD1.5. */

import type { OpMap } from '../../src/graph/ops.ts';
import { ACCUMULATION, activation, matrix, vector, type CaseOf, type NmseBounds } from './case.ts';

interface LinearCase {
  /** [..., channels] */
  readonly x: readonly number[];
  readonly out: number;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: OpMap['linear']['attrs']['activation'];
  readonly bench?: boolean;
  readonly int8?: true;
}

/** What rounding both sides of a product to signed bytes may cost; others compute such layers as they are. */
const INT8: NmseBounds = { f32: 1e-3, f16: 1e-3 };

function linearCase(name: string, options: LinearCase): CaseOf<'linear'> {
  const {
    x,
    out,
    bias = true,
    residual = false,
    activation: epilogue = 'none',
    bench = false,
    int8,
  } = options;
  const channels = x.at(-1) ?? 1;
  const y = [...x.slice(0, -1), epilogue === 'geglu' ? out / 2 : out];
  return {
    name: `linear/${name}`,
    kind: 'linear',
    inputs: {
      x: activation(x),
      weight: matrix([out, channels]),
      ...(bias ? { bias: vector(out) } : {}),
      ...(residual ? { residual: activation(y) } : {}),
    },
    attrs: { activation: epilogue, ...(int8 && { int8 }) },
    nmse: int8 ? INT8 : ACCUMULATION,
    bench,
  };
}

const correctness = [
  linearCase('1 row', { x: [1, 64], out: 128 }),
  linearCase('1 row, odd', { x: [1, 37], out: 7 }),
  linearCase('1 to 1', { x: [1, 1], out: 1 }),
  linearCase('2 rows, silu (time embedding)', { x: [2, 320], out: 128, activation: 'silu' }),
  linearCase('3 axes without bias', { x: [2, 64, 48], out: 48, bias: false }),
  linearCase('4 axes', { x: [2, 3, 5, 24], out: 40 }),
  linearCase('77 rows, K = 33', { x: [1, 77, 33], out: 65 }),
  linearCase('154 rows', { x: [2, 77, 64], out: 96 }),
  linearCase('154 rows, quick_gelu (CLIP)', { x: [2, 77, 96], out: 160, activation: 'quick_gelu' }),
  linearCase('77 rows, gelu', { x: [77, 40], out: 56, activation: 'gelu' }),
  linearCase('relu', { x: [5, 24], out: 24, activation: 'relu' }),
  linearCase('tanh', { x: [5, 24], out: 24, activation: 'tanh' }),
  linearCase('residual', { x: [2, 60, 72], out: 33, residual: true }),
  linearCase('residual without bias', { x: [2, 16, 64], out: 64, residual: true, bias: false }),
  linearCase('residual then silu', { x: [9, 40], out: 48, residual: true, activation: 'silu' }),
  linearCase('geglu', { x: [2, 64, 64], out: 512, activation: 'geglu' }),
  linearCase('geglu, odd half', { x: [77, 33], out: 2 * 45, activation: 'geglu' }),
  linearCase('geglu, 1 row, without bias', { x: [1, 48], out: 384, activation: 'geglu', bias: false }),
  linearCase('fused QKV', { x: [2, 49, 96], out: 288, bias: false }),
  linearCase('deep sum, K = 2560', { x: [1, 6, 2560], out: 24 }),
  linearCase('int8, residual', {
    x: [2, 40, 192],
    out: 144,
    residual: true,
    bias: false,
    int8: true,
  }),
  linearCase('int8, geglu', { x: [70, 64], out: 2 * 88, activation: 'geglu', int8: true }),
];

const bench = [
  linearCase('SD1.5 proj 320, 64x64', { x: [2, 4096, 320], out: 320, bench: true }),
  linearCase('SD1.5 QKV 320, 64x64', { x: [2, 4096, 320], out: 960, bias: false, bench: true }),
  linearCase('SD1.5 geglu 320, 64x64', { x: [2, 4096, 320], out: 2560, activation: 'geglu', bench: true }),
  linearCase('SD1.5 ff out 320, 64x64', { x: [2, 4096, 1280], out: 320, residual: true, bench: true }),
  linearCase('SD1.5 geglu 640, 32x32', { x: [2, 1024, 640], out: 5120, activation: 'geglu', bench: true }),
  linearCase('SD1.5 geglu 1280, 16x16', { x: [2, 256, 1280], out: 10240, activation: 'geglu', bench: true }),
  linearCase('SD1.5 ff out 1280, 16x16', { x: [2, 256, 5120], out: 1280, residual: true, bench: true }),
  linearCase('SD1.5 cross K/V 1280', { x: [2, 77, 768], out: 2560, bias: false, bench: true }),
  linearCase('SD1.5 time embedding', { x: [2, 320], out: 1280, activation: 'silu', bench: true }),
  linearCase('SDXL QKV 1280 int8', { x: [2, 1024, 1280], out: 3840, bias: false, int8: true, bench: true }),
  linearCase('SDXL geglu 1280 int8', {
    x: [2, 1024, 1280],
    out: 10240,
    activation: 'geglu',
    int8: true,
    bench: true,
  }),
  linearCase('CLIP fc1', { x: [2, 77, 768], out: 3072, activation: 'quick_gelu', bench: true }),
];

export const linearCases: readonly CaseOf<'linear'>[] = [...correctness, ...bench];
