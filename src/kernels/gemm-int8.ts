/** @file Linear layers on signed bytes with packed products: what `int8` runs on where there are no matrices of bytes. */

import source from '../../shaders/gemm-int8.wgsl';
import { epilogueConstants, gemmSize, packedWidth } from './gemm.ts';
import { defineKernel, fold } from './kernel.ts';
import { GATE, int8Packing, quantizeRowsLaunch, quantizedBytes } from './quantize-rows.ts';

/** Rows of a workgroup. */
const ROWS = 64;

export const gemmInt8 = defineKernel({
  id: 'gemm-int8',
  ops: ['linear'],
  supports: (node, { traits }) =>
    node.attrs.int8 === true &&
    traits.packedDot &&
    traits.maxInvocationsPerWorkgroup >= 256 &&
    traits.maxWorkgroupStorageBytes >= 12288,
  inPlace: () => 'residual',
  scratchBytes: quantizedBytes,
  packing: int8Packing,
  launches(node, context) {
    const size = gemmSize(node, context);
    const columns = size.gated ? 8 : 4;
    const weightRows = packedWidth(size, GATE, 16);
    const groupsN = Math.ceil(weightRows / (columns * 16));
    return [
      quantizeRowsLaunch(node, context),
      {
        name: 'gemm-int8',
        source,
        constants: { ...epilogueConstants(node, context), COLUMNS: columns, VECTORS: columns / 4 },
        dims: { rows: size.rows, groupsN, vectors: size.sources[0] / 16, weightRows },
        workgroups: fold(groupsN * Math.ceil(size.rows / ROWS), context.traits),
      },
    ];
  },
});
