/** @file Convolutions and linear layers of any shape, without tensor cores. */

import { channelsOf, defineCudaKernel, elementCount, elementOf, rowsOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { FILTERS } from './packing.ts';

export const gemmTiledLaunch = defineLaunch('gemm_tiled', {
  x: 'pointer',
  x2: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  rows: 'pointer',
  rowIndex: 'pointer',
  residual: 'pointer',
  y: 'pointer',
  outputRows: 'i64',
  channels1: 'i32',
  channels2: 'i32',
  height: 'i32',
  width: 'i32',
  outHeight: 'i32',
  outWidth: 'i32',
  kernelHeight: 'i32',
  kernelWidth: 'i32',
  stride: 'i32',
  padTop: 'i32',
  padLeft: 'i32',
  upsample: 'i32',
  columns: 'i32',
  tableRows: 'i32',
  activation: 'i32',
  gated: 'i32',
  element: 'i32',
});

const OPERANDS = {
  x: 'x',
  weight: 'weight',
  bias: 'bias',
  residual: 'residual',
  y: 'y',
} as const;

export const gemmTiled = defineCudaKernel({
  id: 'gemm-tiled',
  ops: ['conv2d', 'linear'],
  inPlace: () => 'residual',
  packing(node, context) {
    const taps = elementCount(context.shapeOf(node.inputs.weight).slice(2));
    return taps > 1 ? { weight: FILTERS } : {};
  },
  launches(node, context) {
    const outputRows = rowsOf(context, node.output);
    const shared = {
      ...OPERANDS,
      outputRows,
      channels1: channelsOf(context, node.inputs.x),
      element: elementOf(context, node.output),
    };
    const [columns, , kernelHeight = 1, kernelWidth = 1] = context.shapeOf(node.inputs.weight);
    if (node.kind === 'linear') {
      const { activation } = node.attrs;
      const gated = activation === 'geglu';
      return [
        gemmTiledLaunch.with({
          ...shared,
          x2: 'none',
          rows: 'none',
          rowIndex: 'none',
          channels2: 0,
          height: outputRows,
          width: 1,
          outHeight: outputRows,
          outWidth: 1,
          kernelHeight,
          kernelWidth,
          stride: 1,
          padTop: 0,
          padLeft: 0,
          upsample: 0,
          columns,
          tableRows: 0,
          activation: gated ? 0 : activationCode(activation),
          gated: gated ? 1 : 0,
        }),
      ];
    }
    const { x, x2, rows } = node.inputs;
    const { stride, padding, upsample, activation } = node.attrs;
    const [, height, width] = context.shapeOf(x);
    const [, outHeight, outWidth] = context.shapeOf(node.output);
    return [
      gemmTiledLaunch.with({
        ...shared,
        x2: 'x2',
        rows: 'rows',
        rowIndex: 'rowIndex',
        channels2: x2 === undefined ? 0 : channelsOf(context, x2),
        height,
        width,
        outHeight,
        outWidth,
        kernelHeight,
        kernelWidth,
        stride,
        padTop: padding[0],
        padLeft: padding[1],
        upsample: upsample ? 1 : 0,
        columns,
        tableRows: rows === undefined ? 0 : context.shapeOf(rows)[0],
        activation: activationCode(activation),
        gated: 0,
      }),
    ];
  },
});
