/** @file Linear layers on subgroup matrices of 16x16x32 signed bytes: what `int8` runs on where there are some. */

import { gemmPrice, gemmSize } from './gemm.ts';
import { matrixLaunches } from './gemm-matrix.ts';
import { tilingOf, tilings } from './gemm-matrix-tiling.ts';
import { defineKernel } from './kernel.ts';
import { GATE, quantizeRowsLaunch, quantizedBytes } from './quantize-rows.ts';

export const gemmInt8Matrix = defineKernel({
  id: 'gemm-int8-matrix',
  ops: ['linear'],
  supports: (node, { traits }) =>
    node.attrs.int8 === true &&
    traits.int8Matrix &&
    traits.f16 &&
    traits.subgroupSize === 32 &&
    traits.maxWorkgroupStorageBytes >= 32768,
  variants: (node, context) => tilings(node, context, 'i8').map(({ name }) => name),
  price(node, context) {
    const tiling = tilingOf(node, context, 'i8');
    const threads = 32 * tiling.subgroupsM * tiling.subgroupsN;
    const price = gemmPrice(node, context, tiling, tiling.parts, { arithmetic: 'matrix', threads });
    // A byte takes half of what an f16 does, of arithmetic too; its rows take a launch of their own.
    return { ...price, flops: price.flops / 2, bytes: price.bytes / 2, launches: price.launches + 1 };
  },
  inPlace: () => 'residual',
  scratchBytes: quantizedBytes,
  packing(node, context) {
    const gate = gemmSize(node, context).gated ? GATE : 0;
    return { weight: { kind: 'int8', gate, columns: 16 } };
  },
  launches: (node, context) => [
    quantizeRowsLaunch(node, context),
    ...matrixLaunches(node, context, tilingOf(node, context, 'i8'), 'i8'),
  ],
});
