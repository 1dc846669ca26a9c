/** @file Cases of the ops that step a scheduler: modelInput, guidance, guidanceFactor, schedulerStep, guidedStep. */

import {
  coefficientColumns,
  packCoefficients,
  type GuidanceCoefficients,
} from '../../src/schedulers/coefficients.ts';
import type { StepCoefficients } from '../../src/schedulers/scheduler.ts';
import {
  ACCUMULATION,
  activation,
  indexList,
  seededRandom,
  state,
  type CaseInput,
  type CaseOf,
} from './case.ts';

interface Schedule {
  readonly slots: number;
  readonly clip?: number;
  readonly noise?: boolean;
  readonly guidance?: GuidanceCoefficients;
}

/** Steps with arbitrary coefficients of ordinary size: every term of the formula counts. */
function steps(
  seed: string,
  count: number,
  { slots, clip = Infinity, noise = false }: Schedule,
): StepCoefficients[] {
  const random = seededRandom(seed);
  const number = (): number => Math.fround(2 * random() - 1);
  const numbers = (): number[] => Array.from({ length: slots }, number);
  return Array.from({ length: count }, (_, step) => ({
    timestep: 900 - 100 * step,
    input: numbers(),
    x0: { state: numbers(), output: number(), clip },
    next: {
      state: Array.from({ length: slots }, numbers),
      output: numbers(),
      x0: numbers(),
      noise: noise ? numbers() : Array.from({ length: slots }, () => 0),
    },
    usesNoise: noise,
  }));
}

/** The table of `count` such steps. */
function table(seed: string, count: number, schedule: Schedule): CaseInput {
  const values = [
    ...packCoefficients(steps(seed, count, schedule), schedule.guidance ?? { scale: 4, rescale: 0 }),
  ];
  return {
    shape: [count, coefficientColumns(schedule.slots).count],
    dtype: 'f32',
    role: 'input',
    fill: { kind: 'values', values },
  };
}

/** Rows of a table of four that images use. */
const ROWS = [2, 0, 3, 1] as const;
const rowsOf = (images: number): CaseInput =>
  indexList(Array.from({ length: images }, (_, i) => ROWS[i % 4] ?? 0));

/** [images, height, width, channels] */
type ImageShape = readonly [number, number, number, number];

const guidanceBatch = ([images, ...rest]: ImageShape): number[] => [2 * images, ...rest];

function modelInputCase(
  name: string,
  image: ImageShape,
  slots: number,
  copies: number,
): CaseOf<'modelInput'> {
  return {
    name: `modelInput/${name}`,
    kind: 'modelInput',
    inputs: {
      state: state([slots, ...image], 3),
      coefficients: table(name, 4, { slots }),
      row: rowsOf(image[0]),
    },
    attrs: { slots, copies },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const modelInputCases: readonly CaseOf<'modelInput'>[] = [
  modelInputCase('1 slot, 1 copy', [1, 8, 8, 4], 1, 1),
  modelInputCase('1 slot, 2 copies', [1, 9, 7, 4], 1, 2),
  modelInputCase('2 slots, 2 copies, 3 images', [3, 5, 6, 4], 2, 2),
  modelInputCase('3 slots, 2 copies, 2 images', [2, 8, 5, 4], 3, 2),
  modelInputCase('3 slots, 1 copy, 5 images, 9 channels', [5, 3, 5, 9], 3, 1),
];

function guidanceCase(
  name: string,
  image: ImageShape,
  guidance: GuidanceCoefficients,
  rescale: boolean,
): CaseOf<'guidance'> {
  return {
    name: `guidance/${name}`,
    kind: 'guidance',
    inputs: {
      output: activation(guidanceBatch(image)),
      coefficients: table(name, 4, { slots: 1, guidance }),
      row: rowsOf(image[0]),
    },
    attrs: { rescale },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const guidanceCases: readonly CaseOf<'guidance'>[] = [
  guidanceCase('plain', [1, 8, 8, 4], { scale: 7.5, rescale: 0 }, false),
  guidanceCase('plain, 3 images, odd size', [3, 9, 7, 4], { scale: 4, rescale: 0 }, false),
  guidanceCase('rescale', [1, 16, 16, 4], { scale: 4, rescale: 0.7 }, true),
  guidanceCase('rescale, 3 images, odd size', [3, 9, 7, 4], { scale: 7.5, rescale: 0.7 }, true),
  guidanceCase('rescale of 1', [2, 8, 8, 4], { scale: 12, rescale: 1 }, true),
  guidanceCase('rescale of 0', [2, 8, 8, 4], { scale: 5, rescale: 0 }, true),
];

function factorCase(
  name: string,
  image: ImageShape,
  guidance: GuidanceCoefficients,
): CaseOf<'guidanceFactor'> {
  return {
    name: `guidanceFactor/${name}`,
    kind: 'guidanceFactor',
    inputs: {
      output: activation(guidanceBatch(image)),
      coefficients: table(name, 4, { slots: 1, guidance }),
      row: rowsOf(image[0]),
    },
    attrs: {},
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const guidanceFactorCases: readonly CaseOf<'guidanceFactor'>[] = [
  factorCase('one image', [1, 32, 32, 4], { scale: 4, rescale: 0.7 }),
  factorCase('3 images, odd size', [3, 9, 7, 4], { scale: 7.5, rescale: 0.3 }),
  factorCase('rescale of 0', [2, 8, 8, 4], { scale: 7.5, rescale: 0 }),
  factorCase('a few numbers', [1, 1, 3, 1], { scale: 2, rescale: 1 }),
];

function schedulerStepCase(
  name: string,
  image: ImageShape,
  schedule: Schedule,
  rows = image[0],
): CaseOf<'schedulerStep'> {
  const { slots, noise = false } = schedule;
  return {
    name: `schedulerStep/${name}`,
    kind: 'schedulerStep',
    inputs: {
      state: state([slots, ...image]),
      output: activation([...image]),
      ...(noise ? { noise: state([...image]) } : {}),
      coefficients: table(name, 4, schedule),
      row: rowsOf(rows),
    },
    attrs: { slots },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const schedulerStepCases: readonly CaseOf<'schedulerStep'>[] = [
  schedulerStepCase('1 slot', [1, 8, 8, 4], { slots: 1 }),
  schedulerStepCase('1 slot, clipped', [2, 9, 7, 4], { slots: 1, clip: 0.5 }),
  schedulerStepCase('1 slot, noise', [3, 5, 7, 4], { slots: 1, noise: true }),
  schedulerStepCase('2 slots', [2, 5, 7, 4], { slots: 2 }),
  schedulerStepCase('3 slots', [1, 16, 16, 4], { slots: 3 }),
  schedulerStepCase('3 slots, clipped, noise', [3, 9, 5, 4], { slots: 3, clip: 1, noise: true }),
  schedulerStepCase('4 slots, 3 channels', [2, 3, 5, 3], { slots: 4 }),
  schedulerStepCase('3 slots, rows by pixel, noise', [2, 5, 7, 4], { slots: 3, noise: true }, 70),
];

interface GuidedSchedule extends Schedule {
  readonly factor?: boolean;
}

function guidedStepCase(name: string, image: ImageShape, schedule: GuidedSchedule): CaseOf<'guidedStep'> {
  const { slots, noise = false, factor = false } = schedule;
  return {
    name: `guidedStep/${name}`,
    kind: 'guidedStep',
    inputs: {
      state: state([slots, ...image]),
      output: activation(guidanceBatch(image)),
      ...(factor
        ? {
            factor: {
              shape: [image[0]],
              dtype: 'f32',
              role: 'input',
              fill: { kind: 'normal', scale: 0.1, shift: 0.75 },
            },
          }
        : {}),
      ...(noise ? { noise: state([...image]) } : {}),
      coefficients: table(name, 4, schedule),
      row: rowsOf(image[0]),
    },
    attrs: { slots },
    nmse: ACCUMULATION,
    bench: false,
  };
}

export const guidedStepCases: readonly CaseOf<'guidedStep'>[] = [
  guidedStepCase('1 slot', [1, 8, 8, 4], { slots: 1 }),
  guidedStepCase('1 slot, factor', [3, 9, 7, 4], {
    slots: 1,
    factor: true,
    guidance: { scale: 7.5, rescale: 0.7 },
  }),
  guidedStepCase('1 slot, clipped, noise', [2, 5, 7, 4], { slots: 1, clip: 1, noise: true }),
  guidedStepCase('3 slots', [2, 8, 5, 4], { slots: 3 }),
  guidedStepCase('3 slots, factor, clipped, noise', [3, 5, 9, 4], {
    slots: 3,
    clip: 2,
    noise: true,
    factor: true,
  }),
];
