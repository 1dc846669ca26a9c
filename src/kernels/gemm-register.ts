/** @file Convolution and linear layers in registers: the kernel of software adapters, and the one that runs everywhere. */

import source from '../../shaders/gemm-register.wgsl';
import { epilogueConstants, gemmDims, gemmSize, packedWidth, sourceConstants } from './gemm.ts';
import { defineKernel, fold, isUnpacked } from './kernel.ts';

/** Value and gate columns alternate every vector, so that a thread holds both. */
const GATE = 4;

const ROWS = 8;

/** Passed as uniforms on software adapters, which take a quarter of a second to compile each variant. */
const SIZES = ['C1', 'C2', 'V1', 'V2', 'N', 'TILES_N', 'BLOCKS_N'];

export const gemmRegister = defineKernel({
  id: 'gemm-register',
  ops: ['conv2d', 'linear'],
  inPlace: () => 'residual',
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'blocks', sources, gate: gated ? GATE : 0, columns: 8 } };
  },
  launches(node, context) {
    const size = gemmSize(node, context);
    const vectors = packedWidth(size, GATE, 8) / 4;
    const columns = size.columns <= 4 && !size.gated ? 1 : 2;
    const tiles = columns === 1 ? 1 : vectors / 2;
    return [
      {
        name: 'gemm-register',
        source,
        constants: {
          ...sourceConstants(node, context, 4),
          ...epilogueConstants(node, context),
          UNPACK: isUnpacked(context, node, node.inputs.weight),
          COLUMNS: columns,
          TILES_N: tiles,
          BLOCKS_N: vectors,
        },
        ...(context.traits.software ? { uniforms: SIZES } : {}),
        dims: gemmDims(node, context),
        workgroups: fold(Math.ceil((tiles * Math.ceil(size.rows / ROWS)) / 64), context.traits),
      },
    ];
  },
});
