/** @file The op cases that the CUDA backend computes, and those that it has no kernels for. */

import { TEST_CASES } from '../cases/index.ts';

/** Only FreeU needs it. */
const MISSING_OP = 'fourierFilter';

/** Cases that are computed. */
export const CUDA_CASES = TEST_CASES.filter(({ kind }) => kind !== MISSING_OP);

/** Cases that are refused. */
export const CUDA_REFUSALS = TEST_CASES.filter(({ kind }) => kind === MISSING_OP);
