/** @file Hard numbers for the CPU's norms and attention: means far above the deviation, many blocks, large scores. */

import { afterAll, expect, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { cpu } from '../../src/backends/cpu/cpu.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import {
  activation,
  caseGraph,
  caseInputs,
  caseWeights,
  sameAs,
  vector,
  type OpCase,
} from '../cases/case.ts';
import '../support/nmse.ts';

const reference = createReferenceBackend();
const opened = await cpu({ threads: 0 }).open();
if ('reason' in opened) throw new Error(opened.reason);
const backend: Backend = opened;
afterAll(() => backend.dispose());

async function compute(on: Backend, testCase: OpCase): Promise<Float32Array> {
  const weights = on.createWeights(caseWeights(testCase));
  const program = await on.compile(layOutGraph(caseGraph(testCase), on.target('f32')), { weights });
  for (const [name, data] of caseInputs(testCase)) program.write(name, data);
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}

const MEAN = 4000;
const common = { nmse: { f32: 1e-11, f16: 1 }, bench: false };
const affine = (channels: number) => ({ weight: vector(channels, 1), bias: vector(channels) });

const CASES: readonly OpCase[] = [
  {
    ...common,
    name: 'groupNorm, mean 4000 and deviation 4',
    kind: 'groupNorm',
    inputs: { x: activation([2, 9, 31, 96], 4, MEAN), ...affine(96) },
    attrs: { groups: 32, eps: 1e-5, activation: 'none' },
  },
  {
    ...common,
    name: 'groupNorm, mean 4000 and deviation 4, two sources, many chunks',
    kind: 'groupNorm',
    inputs: {
      x: activation([1, 64, 33, 37], 4, MEAN),
      x2: activation([1, 64, 33, 23], 4, MEAN),
      ...affine(60),
    },
    attrs: { groups: 12, eps: 1e-5, activation: 'gelu' },
  },
  {
    ...common,
    name: 'layerNorm, mean 4000 and deviation 4',
    kind: 'layerNorm',
    inputs: { x: activation([1, 20, 321], 4, MEAN), ...affine(321) },
    attrs: { eps: 1e-5 },
  },
  {
    ...common,
    name: 'attention, causal, 300 tokens',
    kind: 'attention',
    inputs: { q: activation([1, 300, 240]), k: sameAs('q'), v: sameAs('q') },
    attrs: { heads: 2, headDim: 40, causal: true, scale: 1 / Math.sqrt(40), offsets: [0, 80, 160] },
  },
  {
    ...common,
    // Softmax is nearly one-hot; the scores' own rounding, at some 1e-5, is what is left.
    nmse: { f32: 1e-9, f16: 1 },
    name: 'attention, scores up to some 150',
    kind: 'attention',
    inputs: { q: activation([1, 50, 64]), k: activation([1, 333, 64]), v: activation([1, 333, 64]) },
    attrs: { heads: 1, headDim: 64, causal: false, scale: 5, offsets: [0, 0, 0] },
  },
];

test.each(CASES.map((testCase) => [testCase.name, testCase] as const))('%s', async (_name, testCase) => {
  const expected = await compute(reference, testCase);
  expect(await compute(backend, testCase)).toMatchNmse(expected, testCase.nmse.f32);
});
