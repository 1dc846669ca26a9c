/**
 * @file Linear layers on operands of eight bits, whose rows are scaled and rounded as they come: those that passes/int8.ts
 * marked, where the backend was opened for it.
 */

import {
  defineCudaKernel,
  elementCount,
  elementOf,
  isNarrow,
  type CudaKernel,
  type EightBits,
  type WeightPacking,
} from '../kernel.ts';
import { defineLaunch, type Operand } from '../launch.ts';
import { gemmLaunch, linearArguments } from './gemm.ts';
import { GATED } from './packing.ts';
import { OVERLAP } from './tensor-core.ts';
import { CHOSEN_TILE } from './tiles.ts';

export const quantizeRowsLaunch = defineLaunch('quantize_rows', {
  x: 'pointer',
  y: 'pointer',
  scales: 'pointer',
  rows: 'i32',
  channels: 'i32',
  gated: 'i32',
  operands: 'i32',
  element: 'i32',
  flags: 'i32',
});

/** CalotypeOperands of kernels/gemm.h. */
const OPERANDS: Readonly<Record<EightBits, number>> = { int8: 1, fp8: 2 };

/** Channels that kernels take at a time. */
const CHANNELS_STEP = 16;

const SCALE_BYTES = 4;

/** Rows of eight bits, then their scales. */
function packingOf(format: EightBits, isGated: boolean): WeightPacking {
  return {
    key: isGated ? `${format}, gated` : format,
    bytes: ([rows, channels]) => rows * channels + rows * SCALE_BYTES,
    launch: ([rows, channels], element) =>
      quantizeRowsLaunch.with({
        x: 'source',
        y: 'packed',
        scales: scalesIn('packed', [rows, channels]),
        rows,
        channels,
        gated: isGated ? 1 : 0,
        operands: OPERANDS[format],
        element,
        flags: 0,
      }),
  };
}

function scalesIn(operand: string, shape: readonly number[]): Operand {
  return { operand, offsetBytes: elementCount(shape) };
}

function gemmOfEightBits(format: EightBits): CudaKernel {
  return defineCudaKernel({
    id: `gemm-${format}`,
    ops: ['linear'],
    inPlace: () => 'residual',
    supports(node, context) {
      const [outputs, inputs] = context.shapeOf(node.inputs.weight);
      return (
        context.eightBits === format &&
        node.attrs.int8 === true &&
        isNarrow(context, node.output) &&
        inputs % CHANNELS_STEP === 0 &&
        outputs % (node.attrs.activation === 'geglu' ? 16 : 8) === 0
      );
    },
    packing(node) {
      const isGated = node.attrs.activation === 'geglu';
      return { weight: packingOf(format, isGated), ...(isGated && { bias: GATED }) };
    },
    scratchBytes(node, context) {
      const shape = context.shapeOf(node.inputs.x);
      const rows = elementCount(shape.slice(0, -1));
      return [elementCount(shape), rows * SCALE_BYTES];
    },
    launches(node, context) {
      const linear = linearArguments(node, context);
      const operands = OPERANDS[format];
      return [
        quantizeRowsLaunch.with({
          x: 'x',
          y: 'scratch0',
          scales: 'scratch1',
          rows: linear.m,
          channels: linear.k,
          gated: 0,
          operands,
          element: elementOf(context, node.inputs.x),
          flags: OVERLAP,
        }),
        gemmLaunch.with({
          ...linear,
          x: 'scratch0',
          xScales: 'scratch1',
          weightScales: scalesIn('weight', context.shapeOf(node.inputs.weight)),
          operands,
          ...CHOSEN_TILE,
        }),
      ];
    },
  });
}

export const gemmInt8 = gemmOfEightBits('int8');
export const gemmFp8 = gemmOfEightBits('fp8');
