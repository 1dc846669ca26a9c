/** @file Norms of the last axis, a warp a row: layer normalisation, the same modulated by batch row, and root mean square. */

import { channelsOf, defineCudaKernel, elementOf, rowsOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';

export const layerNormRowsLaunch = defineLaunch('layer_norm_rows', {
  x: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  y: 'pointer',
  rows: 'i64',
  channels: 'i32',
  eps: 'f32',
  element: 'i32',
});

export const adaLayerNormLaunch = defineLaunch('ada_layer_norm', {
  x: 'pointer',
  modulation: 'pointer',
  table: 'pointer',
  y: 'pointer',
  rows: 'i64',
  imageRows: 'i64',
  channels: 'i32',
  columns: 'i32',
  shift: 'i32',
  scale: 'i32',
  eps: 'f32',
  element: 'i32',
});

export const rmsNormLaunch = defineLaunch('rms_norm', {
  x: 'pointer',
  weight: 'pointer',
  y: 'pointer',
  rows: 'i64',
  channels: 'i32',
  eps: 'f32',
  element: 'i32',
});

export const rowNorms = defineCudaKernel({
  id: 'row-norms',
  ops: ['layerNorm', 'adaLayerNorm', 'rmsNorm'],
  launches(node, context) {
    const rows = rowsOf(context, node.output);
    const shared = {
      x: 'x',
      y: 'y',
      rows,
      channels: channelsOf(context, node.output),
      element: elementOf(context, node.output),
    };
    switch (node.kind) {
      case 'layerNorm':
        return [layerNormRowsLaunch.with({ ...shared, weight: 'weight', bias: 'bias', ...node.attrs })];
      case 'rmsNorm':
        return [rmsNormLaunch.with({ ...shared, weight: 'weight', ...node.attrs })];
      case 'adaLayerNorm':
        return [
          adaLayerNormLaunch.with({
            ...shared,
            modulation: 'modulation',
            table: 'table',
            imageRows: rows / context.shapeOf(node.output)[0],
            columns: channelsOf(context, node.inputs.modulation),
            ...node.attrs,
          }),
        ];
    }
  },
});
