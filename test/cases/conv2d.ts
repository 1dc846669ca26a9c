/** @file Cases of conv2d: sizes off every tile, all prologues and epilogues, and the convolutions of SD1.5. */

import type { Activation } from '../../src/graph/op.ts';
import { ACCUMULATION, activation, indexList, matrix, vector, type CaseInput, type CaseOf } from './case.ts';

interface ConvCase {
  /** [batch, height, width, channels] */
  readonly x: readonly [number, number, number, number];
  /** Channels of a second source; 0 for none. */
  readonly x2?: number;
  readonly out: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly padding?: readonly [number, number, number, number];
  readonly upsample?: boolean;
  readonly activation?: Activation;
  readonly bias?: boolean;
  /** `own`: a row for each image; a list: a table of three rows and each image's index. */
  readonly rows?: 'own' | readonly number[];
  readonly residual?: boolean;
  readonly bench?: boolean;
}

function convCase(name: string, options: ConvCase): CaseOf<'conv2d'> {
  const {
    x,
    x2 = 0,
    out,
    kernel = 3,
    stride = 1,
    upsample = false,
    bias = true,
    rows,
    residual = false,
  } = options;
  const side = Math.floor(kernel / 2);
  const { padding = [side, side, side, side] as const } = options;
  const [batch, height, width, channels] = x;
  const size = (length: number, before: number, after: number): number =>
    Math.floor(((upsample ? 2 : 1) * length + before + after - kernel) / stride) + 1;
  const y = [batch, size(height, padding[0], padding[2]), size(width, padding[1], padding[3]), out];
  const optional: Record<string, CaseInput> = {
    ...(x2 ? { x2: activation([batch, height, width, x2]) } : {}),
    ...(bias ? { bias: vector(out) } : {}),
    ...(rows ? { rows: activation([rows === 'own' ? batch : 3, out]) } : {}),
    ...(rows && rows !== 'own' ? { rowIndex: indexList(rows) } : {}),
    ...(residual ? { residual: activation(y) } : {}),
  };
  return {
    name: `conv2d/${name}`,
    kind: 'conv2d',
    inputs: { x: activation(x), weight: matrix([out, channels + x2, kernel, kernel]), ...optional },
    attrs: { stride, padding, upsample, activation: options.activation ?? 'none' },
    nmse: ACCUMULATION,
    bench: options.bench ?? false,
  };
}

/** Small cases, run by tests. */
const correctness = [
  convCase('3x3 without bias', { x: [1, 8, 8, 16], out: 32, bias: false }),
  convCase('3x3 with bias', { x: [2, 16, 16, 32], out: 64 }),
  convCase('one pixel', { x: [1, 1, 1, 8], out: 4 }),
  convCase('one row', { x: [1, 1, 19, 12], out: 8 }),
  convCase('3 channels in (image)', { x: [1, 17, 13, 3], out: 33 }),
  convCase('4 channels in (latents)', { x: [2, 9, 11, 4], out: 48 }),
  convCase('9 channels in (inpainting)', { x: [1, 8, 7, 9], out: 40 }),
  convCase('1 channel in and out', { x: [1, 5, 6, 1], out: 1 }),
  convCase('7 to 33 channels, odd size', { x: [2, 7, 9, 7], out: 33 }),
  convCase('320 to 4 channels (conv_out)', { x: [2, 8, 8, 320], out: 4 }),
  convCase('64 to 3 channels (decoder out)', { x: [1, 16, 12, 64], out: 3 }),
  convCase('deep sum, 640 channels', { x: [1, 4, 4, 640], out: 40 }),
  convCase('batch of 5', { x: [5, 3, 5, 24], out: 20 }),
  convCase('1x1', { x: [2, 8, 8, 32], out: 64, kernel: 1 }),
  convCase('1x1, 7 to 33 channels', { x: [1, 5, 7, 7], out: 33, kernel: 1 }),
  convCase('patches of 2x2', {
    x: [2, 6, 10, 4],
    out: 96,
    kernel: 2,
    stride: 2,
    padding: [0, 0, 0, 0],
  }),
  convCase('1x1, two sources', { x: [1, 6, 5, 32], x2: 16, out: 40, kernel: 1 }),
  convCase('negative padding (a band of a larger image)', {
    x: [1, 9, 8, 16],
    out: 24,
    padding: [-2, 1, 1, 1],
  }),
  convCase('negative padding of a doubled image', {
    x: [1, 6, 8, 16],
    out: 24,
    upsample: true,
    padding: [-1, 1, -1, 1],
  }),
  convCase('stride 2', { x: [2, 16, 16, 32], out: 32, stride: 2 }),
  convCase('stride 2, odd size', { x: [1, 13, 9, 33], out: 48, stride: 2 }),
  convCase('stride 2, asymmetric padding', { x: [1, 16, 12, 24], out: 24, stride: 2, padding: [0, 0, 1, 1] }),
  convCase('stride 2, asymmetric padding, odd size', {
    x: [2, 11, 7, 7],
    out: 9,
    stride: 2,
    padding: [0, 0, 1, 1],
  }),
  convCase('no padding', { x: [1, 9, 10, 16], out: 17, padding: [0, 0, 0, 0] }),
  convCase('2x2 phase-like padding', { x: [1, 6, 7, 16], out: 16, kernel: 2, padding: [1, 0, 0, 1] }),
  convCase('upsample', { x: [2, 8, 8, 32], out: 32, upsample: true }),
  convCase('upsample, odd size, 33 to 7 channels', { x: [1, 5, 3, 33], out: 7, upsample: true }),
  convCase('upsample with residual and relu', {
    x: [1, 4, 6, 20],
    out: 24,
    upsample: true,
    residual: true,
    activation: 'relu',
  }),
  convCase('two sources', { x: [2, 8, 8, 64], x2: 32, out: 64 }),
  convCase('two sources, 96 + 48', { x: [2, 8, 8, 96], x2: 48, out: 96 }),
  convCase('two sources, 7 + 33, odd size', { x: [1, 5, 9, 7], x2: 33, out: 20 }),
  convCase('two sources with everything', {
    x: [2, 6, 7, 40],
    x2: 24,
    out: 48,
    rows: [2, 0],
    residual: true,
    activation: 'silu',
  }),
  convCase('rows', { x: [3, 6, 5, 16], out: 24, rows: 'own' }),
  convCase('rows without bias', { x: [2, 6, 5, 16], out: 24, rows: 'own', bias: false }),
  convCase('rows by index', { x: [4, 6, 5, 16], out: 24, rows: [2, 0, 1, 2] }),
  convCase('residual', { x: [2, 7, 6, 24], out: 33, residual: true }),
  convCase('bias, rows and residual', { x: [2, 8, 8, 32], out: 32, rows: 'own', residual: true }),
  ...(['relu', 'silu', 'gelu', 'quick_gelu', 'tanh'] as const).map((name) =>
    convCase(name, { x: [1, 7, 5, 16], out: 24, activation: name }),
  ),
  convCase('residual then relu', { x: [1, 8, 8, 64], out: 64, residual: true, activation: 'relu' }),
];

/** Convolutions of SD1.5 at 512x512 with guidance, and of its decoder. */
const bench = [
  convCase('SD1.5 320, 64x64', { x: [2, 64, 64, 320], out: 320, bench: true }),
  convCase('SD1.5 640, 32x32', { x: [2, 32, 32, 640], out: 640, bench: true }),
  convCase('SD1.5 1280, 16x16', { x: [2, 16, 16, 1280], out: 1280, bench: true }),
  convCase('SD1.5 1280, 8x8', { x: [2, 8, 8, 1280], out: 1280, bench: true }),
  convCase('SD1.5 up 320 + 320, 64x64', { x: [2, 64, 64, 320], x2: 320, out: 320, bench: true }),
  convCase('SD1.5 up 1280 + 640, 16x16', {
    x: [2, 16, 16, 1280],
    x2: 640,
    out: 1280,
    rows: 'own',
    bench: true,
  }),
  convCase('SD1.5 down, 64x64', { x: [2, 64, 64, 320], out: 320, stride: 2, bench: true }),
  convCase('SD1.5 upsample 640 to 64x64', { x: [2, 32, 32, 640], out: 640, upsample: true, bench: true }),
  convCase('SD1.5 conv_in', { x: [2, 64, 64, 4], out: 320, bench: true }),
  convCase('SD1.5 conv_out', { x: [2, 64, 64, 320], out: 4, bench: true }),
  convCase('SD1.5 shortcut 960 to 320', { x: [2, 64, 64, 640], x2: 320, out: 320, kernel: 1, bench: true }),
  convCase('VAE decoder 512, 64x64', { x: [1, 64, 64, 512], out: 512, bench: true }),
  convCase('VAE decoder 256, 256x256', { x: [1, 256, 256, 256], out: 256, bench: true }),
  convCase('VAE decoder 128, 512x512', { x: [1, 512, 512, 128], out: 128, bench: true }),
  convCase('starter 96, 32x32', { x: [2, 32, 32, 96], out: 96, rows: 'own', bench: true }),
];

export const conv2dCases: readonly CaseOf<'conv2d'>[] = [...correctness, ...bench];
