/** @file Linear layers on subgroup matrices of 16x16x32 signed bytes: what `int8` runs on where there are some. */

import { matrixLaunches } from './gemm-matrix.ts';
import { tilingOf, tilingPrice, tilings, variantNames } from './gemm-matrix-tiling.ts';
import { defineKernel } from './kernel.ts';
import { INT8_SHAPE } from './matrix-shape.ts';
import { int8Packing, quantizeRowsLaunch, quantizedBytes } from './quantize-rows.ts';

export const gemmInt8Matrix = defineKernel({
  id: 'gemm-int8-matrix',
  ops: ['linear'],
  supports: (node, { traits }) =>
    node.attrs.int8 === true &&
    traits.int8Matrix &&
    traits.f16 &&
    traits.subgroupSize === 32 &&
    traits.maxWorkgroupStorageBytes >= 32768,
  variants: (node, context) => variantNames(tilings(node, context, INT8_SHAPE)),
  price: (node, context) => tilingPrice(node, context, INT8_SHAPE, tilingOf(node, context, INT8_SHAPE)),
  inPlace: () => 'residual',
  scratchBytes: quantizedBytes,
  packing: int8Packing,
  launches: (node, context) => [
    quantizeRowsLaunch(node, context),
    ...matrixLaunches(node, context, tilingOf(node, context, INT8_SHAPE), INT8_SHAPE),
  ],
});
