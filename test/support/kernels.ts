/** @file The table of a device that can run every kernel. */
import { kernelsFor } from '../../src/kernels/index.ts';
import { MATRIX_SHAPES } from '../../src/kernels/matrix-shape.ts';

/** All kernels, in order of preference. */
export const ALL_KERNELS = await kernelsFor({
  traits: { software: true, subgroupMatrices: MATRIX_SHAPES },
  int8: true,
  without: [],
});
