/**
 * @file Cases of the element-wise ops: activate, add, addBias, addGated, addRows, addScaled, affine, fourierFilter, geglu,
 * multiply, poolMean.
 */

import { ACCUMULATION, activation, indexList, ROUNDING, state, vector, type CaseOf } from './case.ts';

/** Shapes off every vector width and workgroup size, with their names. */
const SHAPES: readonly (readonly number[])[] = [
  [1],
  [7],
  [1, 4],
  [2, 5, 3],
  [2, 7, 9, 33],
  [2, 16, 16, 64],
  [1, 300, 257],
];

const label = (shape: readonly number[]): string => shape.join('x');

export const activateCases: readonly CaseOf<'activate'>[] = [
  ...(['none', 'relu', 'silu', 'gelu', 'quick_gelu', 'tanh', 'gelu_tanh'] as const).map(
    (name): CaseOf<'activate'> => ({
      name: `activate/${name}`,
      kind: 'activate',
      inputs: { x: activation([2, 9, 7, 33], 2) },
      attrs: { activation: name },
      nmse: ACCUMULATION,
      bench: false,
    }),
  ),
  ...(['silu', 'gelu', 'quick_gelu', 'tanh', 'gelu_tanh'] as const).map((name): CaseOf<'activate'> => ({
    name: `activate/${name} of large numbers`,
    kind: 'activate',
    inputs: { x: activation([1, 999], 60) },
    attrs: { activation: name },
    nmse: ACCUMULATION,
    bench: false,
  })),
  ...SHAPES.map((shape): CaseOf<'activate'> => ({
    name: `activate/silu ${label(shape)}`,
    kind: 'activate',
    inputs: { x: activation(shape) },
    attrs: { activation: 'silu' },
    nmse: ACCUMULATION,
    bench: false,
  })),
  {
    name: 'activate/SD1.5 silu 320, 64x64',
    kind: 'activate',
    inputs: { x: activation([2, 64, 64, 320]) },
    attrs: { activation: 'silu' },
    nmse: ACCUMULATION,
    bench: true,
  },
];

function addCase(name: string, shape: readonly number[], bench = false): CaseOf<'add'> {
  const inputs = { a: activation(shape), b: activation(shape) };
  return { name: `add/${name}`, kind: 'add', inputs, attrs: {}, nmse: ROUNDING, bench };
}

const multiplyCase = (name: string, shape: readonly number[]): CaseOf<'multiply'> => ({
  name: `multiply/${name}`,
  kind: 'multiply',
  inputs: { a: activation(shape), b: activation(shape) },
  attrs: {},
  nmse: ROUNDING,
  bench: false,
});

export const multiplyCases: readonly CaseOf<'multiply'>[] = [
  multiplyCase('odd', [2, 5, 33]),
  multiplyCase('wide', [1, 120, 256]),
];

function addGatedCase(
  name: string,
  shape: readonly number[],
  [columns, gate]: readonly [number, number],
  bench = false,
): CaseOf<'addGated'> {
  const channels = shape.at(-1) ?? 1;
  return {
    name: `addGated/${name}`,
    kind: 'addGated',
    inputs: {
      x: activation(shape),
      addend: activation(shape),
      modulation: activation([shape[0], columns * channels]),
      table: vector(columns * channels),
    },
    attrs: { gate: gate * channels },
    nmse: ROUNDING,
    bench,
  };
}

export const addGatedCases: readonly CaseOf<'addGated'>[] = [
  addGatedCase('odd channels', [3, 7, 33], [6, 2]),
  addGatedCase('wide channels', [2, 5, 9, 144], [6, 5]),
  addGatedCase('one column', [1, 11, 8], [1, 0]),
  addGatedCase('PixArt 1024', [2, 4096, 1152], [6, 2], true),
];

export const addCases: readonly CaseOf<'add'>[] = [
  ...SHAPES.map((shape) => addCase(label(shape), shape)),
  addCase('SD1.5 320, 64x64', [2, 64, 64, 320], true),
];

function addBiasCase(name: string, shape: readonly number[], bench = false): CaseOf<'addBias'> {
  const inputs = { x: activation(shape), bias: vector(shape.at(-1) ?? 1) };
  return { name: `addBias/${name}`, kind: 'addBias', inputs, attrs: {}, nmse: ROUNDING, bench };
}

export const addBiasCases: readonly CaseOf<'addBias'>[] = [
  ...SHAPES.map((shape) => addBiasCase(label(shape), shape)),
  addBiasCase('SD1.5 320, 64x64', [2, 64, 64, 320], true),
];

function addRowsCase(
  name: string,
  shape: readonly number[],
  index?: readonly number[],
  bench = false,
): CaseOf<'addRows'> {
  const rows = index ? Math.max(...index) + 2 : (shape[0] ?? 1);
  return {
    name: `addRows/${name}`,
    kind: 'addRows',
    inputs: {
      x: activation(shape),
      rows: activation([rows, shape.at(-1) ?? 1]),
      ...(index ? { rowIndex: indexList(index) } : {}),
    },
    attrs: {},
    nmse: ROUNDING,
    bench,
  };
}

export const addRowsCases: readonly CaseOf<'addRows'>[] = [
  addRowsCase('own rows', [3, 5, 7, 33]),
  addRowsCase('own rows, 3 axes', [2, 37, 48]),
  addRowsCase('own rows, 2 axes', [2, 48]),
  addRowsCase('by index', [4, 6, 5, 20], [3, 0, 0, 2]),
  addRowsCase('by index, one image', [1, 9, 7, 7], [1]),
  addRowsCase('SD1.5 320, 64x64', [2, 64, 64, 320], undefined, true),
];

function addScaledCase(
  name: string,
  shape: readonly number[],
  [columns, column]: readonly [number, number],
  { vectors = false, bench = false } = {},
): CaseOf<'addScaled'> {
  return {
    name: `addScaled/${name}`,
    kind: 'addScaled',
    inputs: {
      x: activation(shape),
      addend: activation(vectors ? [shape[0], shape.at(-1) ?? 1] : shape),
      scale: state([shape[0], columns]),
    },
    attrs: { column },
    nmse: ROUNDING,
    bench,
  };
}

export const addScaledCases: readonly CaseOf<'addScaled'>[] = [
  addScaledCase('odd channels', [3, 5, 7, 33], [13, 4]),
  addScaledCase('wide channels', [2, 6, 9, 48], [3, 2]),
  addScaledCase('3 axes, one image', [1, 37, 20], [1, 0]),
  addScaledCase('vectors', [3, 5, 7, 36], [4, 3], { vectors: true }),
  addScaledCase('vectors, odd channels', [2, 11, 7], [2, 0], { vectors: true }),
  addScaledCase('SD1.5 320, 64x64', [2, 64, 64, 320], [13, 1], { bench: true }),
];

function poolMeanCase(shape: readonly number[], bench = false): CaseOf<'poolMean'> {
  return {
    name: `poolMean/${label(shape)}`,
    kind: 'poolMean',
    inputs: { x: activation(shape, 1, 0.5) },
    attrs: {},
    nmse: ACCUMULATION,
    bench,
  };
}

export const poolMeanCases: readonly CaseOf<'poolMean'>[] = [
  poolMeanCase([1, 1, 1]),
  poolMeanCase([2, 7, 9, 33]),
  poolMeanCase([3, 16, 16, 48]),
  poolMeanCase([1, 300, 4]),
  poolMeanCase([2, 64, 64, 320], true),
];

function fourierFilterCase(
  name: string,
  shape: readonly number[],
  scale: number,
  bench = false,
): CaseOf<'fourierFilter'> {
  return {
    name: `fourierFilter/${name}`,
    kind: 'fourierFilter',
    inputs: { x: activation(shape, 1, 0.5) },
    attrs: { scale },
    nmse: ACCUMULATION,
    bench,
  };
}

export const fourierFilterCases: readonly CaseOf<'fourierFilter'>[] = [
  fourierFilterCase('odd sizes', [2, 7, 9, 33], 0.2),
  fourierFilterCase('powers of two', [1, 16, 8, 48], 1.4),
  fourierFilterCase('one row', [2, 1, 6, 5], 0.9),
  fourierFilterCase('one column', [1, 5, 1, 17], 0),
  fourierFilterCase('one pixel', [3, 1, 1, 4], 0.5),
  fourierFilterCase('two pixels', [1, 2, 2, 3], 0.5),
  fourierFilterCase('SD1.5 640, 32x32', [2, 32, 32, 640], 0.2, true),
];

function affineCase(name: string, shape: readonly number[], scale: number, shift: number): CaseOf<'affine'> {
  return {
    name: `affine/${name}`,
    kind: 'affine',
    inputs: { x: activation(shape) },
    attrs: { scale, shift },
    nmse: ROUNDING,
    bench: false,
  };
}

export const affineCases: readonly CaseOf<'affine'>[] = [
  affineCase('scale', [2, 7, 9, 33], 1 / 0.18215, 0),
  affineCase('scale and shift', [1, 8, 8, 4], 1 / 3, 0.5),
  affineCase('one number', [1], -2, 1),
  affineCase('scale of 0', [5, 3], 0, 0.75),
];

function gegluCase(name: string, shape: readonly number[], bench = false): CaseOf<'geglu'> {
  return {
    name: `geglu/${name}`,
    kind: 'geglu',
    inputs: { x: activation(shape) },
    attrs: {},
    nmse: ACCUMULATION,
    bench,
  };
}

export const gegluCases: readonly CaseOf<'geglu'>[] = [
  gegluCase('512 to 256', [2, 64, 512]),
  gegluCase('66 to 33', [2, 5, 66]),
  gegluCase('2 to 1', [3, 2]),
  gegluCase('1 row', [1, 384]),
  gegluCase('SD1.5 320, 64x64', [2, 4096, 2560], true),
];
