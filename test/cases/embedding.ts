/** @file Cases of embedTokens, gatherRows, selectToken and timestepEmbedding. */

import {
  activation,
  indexList,
  indices,
  matrix,
  ROUNDING,
  type CaseInput,
  type CaseOf,
  type NmseBounds,
} from './case.ts';

function embedTokensCase(
  name: string,
  batch: number,
  tokens: number,
  channels: number,
  positions?: number,
): CaseOf<'embedTokens'> {
  return {
    name: `embedTokens/${name}`,
    kind: 'embedTokens',
    inputs: {
      ids: indices([batch, tokens], 99),
      table: matrix([99, channels]),
      ...(positions !== undefined && { positions: matrix([positions, channels]) }),
    },
    attrs: {},
    nmse: ROUNDING,
    bench: false,
  };
}

export const embedTokensCases: readonly CaseOf<'embedTokens'>[] = [
  embedTokensCase('CLIP', 2, 77, 96, 77),
  embedTokensCase('fewer tokens than positions, 33 channels', 3, 5, 33, 9),
  embedTokensCase('one token', 1, 1, 8, 1),
  embedTokensCase('no positions', 1, 13, 48),
  embedTokensCase('no positions, 3 channels', 7, 7, 3),
];

export const gatherRowsCases: readonly CaseOf<'gatherRows'>[] = [
  {
    name: 'gatherRows/7 rows of 33',
    kind: 'gatherRows',
    inputs: { table: activation([7, 33]), index: indexList([6, 0, 3, 3]) },
    attrs: {},
    nmse: ROUNDING,
    bench: false,
  },
  {
    name: 'gatherRows/one row of 1280',
    kind: 'gatherRows',
    inputs: { table: activation([20, 1280]), index: indexList([19]) },
    attrs: {},
    nmse: ROUNDING,
    bench: false,
  },
];

export const selectTokenCases: readonly CaseOf<'selectToken'>[] = [
  {
    name: 'selectToken/end of text',
    kind: 'selectToken',
    inputs: { x: activation([3, 77, 96]), index: indexList([0, 76, 8]) },
    attrs: {},
    nmse: ROUNDING,
    bench: false,
  },
  {
    name: 'selectToken/33 channels',
    kind: 'selectToken',
    inputs: { x: activation([1, 5, 33]), index: indexList([4]) },
    attrs: {},
    nmse: ROUNDING,
    bench: false,
  },
];

/** f32 rounds an angle of 1000 to 3e-5, so that no f32 implementation is closer than about 1e-10. */
const ANGLES: NmseBounds = { f32: 1e-8, f16: 1e-6 };

function timestepCase(
  name: string,
  t: CaseInput,
  attrs: Partial<CaseOf<'timestepEmbedding'>['attrs']> = {},
): CaseOf<'timestepEmbedding'> {
  return {
    name: `timestepEmbedding/${name}`,
    kind: 'timestepEmbedding',
    inputs: { t },
    attrs: { channels: 320, flipSinToCos: true, freqShift: 0, maxPeriod: 10000, ...attrs },
    nmse: ANGLES,
    bench: false,
  };
}

const timesteps = (shape: readonly number[], values: readonly number[]): CaseInput => ({
  shape,
  dtype: 'f32',
  role: 'input',
  fill: { kind: 'values', values },
});

export const timestepEmbeddingCases: readonly CaseOf<'timestepEmbedding'>[] = [
  timestepCase('one', timesteps([1], [999])),
  timestepCase('five, fractional', timesteps([5], [0, 1, 451.25, 801.5, 999])),
  timestepCase('sines first, frequency shift 1', timesteps([2], [3, 700]), {
    flipSinToCos: false,
    freqShift: 1,
  }),
  timestepCase('2 channels', timesteps([3], [0, 10, 500]), { channels: 2 }),
  timestepCase('42 channels', timesteps([2], [10, 500]), { channels: 42, maxPeriod: 1000 }),
  timestepCase(
    'SDXL sizes, 6 a row',
    timesteps([2, 6], [1024, 1024, 0, 0, 1024, 1024, 512, 768, 32, 16, 1024, 896]),
    {
      channels: 256,
    },
  ),
];
