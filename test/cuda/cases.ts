/** @file The op cases that the CUDA backend computes; it has no kernels for what only T5 and PixArt need. */

import type { OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';

const MISSING_OPS: readonly string[] = ['adaLayerNorm', 'addGated', 'fourierFilter', 'multiply', 'rmsNorm'];

/** Whether only T5 and PixArt need it: these ops, biases of attention, and tokens without positions. */
function isMissing({ kind, inputs }: OpCase): boolean {
  return (
    MISSING_OPS.includes(kind) ||
    (kind === 'attention' && 'bias' in inputs) ||
    (kind === 'embedTokens' && !('positions' in inputs))
  );
}

/** Cases that are computed. */
export const CUDA_CASES: readonly OpCase[] = TEST_CASES.filter((testCase) => !isMissing(testCase));

/** Cases that are refused. */
export const CUDA_REFUSALS: readonly OpCase[] = TEST_CASES.filter(isMissing);
