/** @file Convolution and linear layers as packed matrix products; runs every such node. */

import { defineCpuKernel, WEIGHT_TYPE_BYTES, weightTypeCode, type WeightPacking } from '../kernel.ts';
import {
  align,
  matrixArguments,
  matrixSize,
  paddedChannels,
  panelCount,
  PANEL_COLUMNS,
  type MatrixNode,
  type MatrixSize,
} from './matrix.ts';

/** Steps of the sum done at a time: a panel of 6 rows and one of 8 columns take 14 KiB of a first-level cache. */
const MAX_DEPTH = 256;

/** Rows of a task: enough to make widening columns a small part, few enough for scratch, which also holds gathered rows. */
const MAX_ROWS = 256;
const MAX_GATHERED_ROWS = 128;

/** Column panels of a task; fewer than four would make gathering rows a large part. */
const MAX_PANELS = 8;
const MIN_GATHERED_PANELS = 4;

/** Multiplications worth a task of their own, and the number of tasks wanted if all are. */
const TASK_PRODUCTS = 500_000;
const TASKS = 32;

/** Length of the packed sum: (ky, kx, channel). */
function depthOf({ kernel, channels }: MatrixSize): number {
  return kernel[0] * kernel[1] * paddedChannels(channels);
}

/** Rows [out, in, ...] as panels [out / 8][ky, kx, in][8] of the stored type. */
export function panelPacking([first, second]: readonly [number, number], gated: boolean): WeightPacking {
  const tapsOf = (shape: readonly number[]): number => shape.slice(2).reduce((a, b) => a * b, 1);
  return {
    key: `panels ${first}+${second}${gated ? ' gated' : ''}`,
    bytes: (shape, type) =>
      panelCount(shape[0], gated) *
      PANEL_COLUMNS *
      tapsOf(shape) *
      paddedChannels([first, second]) *
      WEIGHT_TYPE_BYTES[type],
    launches: ({ type, shape, firstRow, rows }) => [
      {
        name: 'gemmPack',
        tasks: Math.ceil(rows / PANEL_COLUMNS),
        args: [
          'source',
          'packed',
          firstRow,
          rows,
          shape[0],
          first + second,
          first,
          tapsOf(shape),
          weightTypeCode(type),
          Number(gated),
        ],
      },
    ],
  };
}

/** Whether rows of the product are rows of the sources, in vectors of four channels. */
function readsDirectly(node: MatrixNode, { kernel, channels }: MatrixSize): boolean {
  if (channels.some((count) => count % 4 !== 0)) return false;
  if (node.kind === 'linear') return true;
  const { stride, padding, upsample } = node.attrs;
  return kernel[0] * kernel[1] === 1 && stride === 1 && !upsample && padding.every((count) => count === 0);
}

/** How a product is cut into tasks: large ones, but enough of them for many threads if they are worth it. */
function taskShape(size: MatrixSize, direct: boolean): { rows: number; panels: number } {
  const rowTasks = Math.ceil(size.rows / (direct ? MAX_ROWS : MAX_GATHERED_ROWS));
  const rows = Math.ceil(size.rows / rowTasks);
  const panels = panelCount(size.columns, size.gated);
  const worthwhile = Math.ceil(TASK_PRODUCTS / (rows * depthOf(size) * PANEL_COLUMNS));
  const shared = Math.ceil((panels * rowTasks) / TASKS);
  const least = direct ? 1 : MIN_GATHERED_PANELS;
  const most = Math.min(Math.max(worthwhile, shared, least), MAX_PANELS, panels);
  const even = Math.ceil(panels / Math.ceil(panels / most));
  return { rows, panels: size.gated ? align(even, 2) : even };
}

export const gemm = defineCpuKernel({
  id: 'gemm',
  ops: ['conv2d', 'linear'],
  inPlace: () => 'residual',
  packing(node, context) {
    const { channels, gated } = matrixSize(node, context);
    return { weight: panelPacking(channels, gated) };
  },
  launches(node, context) {
    const size = matrixSize(node, context);
    const panels = panelCount(size.columns, size.gated);
    const depth = depthOf(size);
    const direct = readsDirectly(node, size);
    const task = taskShape(size, direct);
    return [
      {
        name: 'gemm',
        tasks: Math.ceil(size.rows / task.rows) * Math.ceil(panels / task.panels),
        args: [
          ...matrixArguments(node, context),
          size.rows,
          depth,
          align(depth / Math.ceil(depth / MAX_DEPTH), 4),
          panels,
          task.panels,
          task.rows,
          size.kernel[1],
          node.kind === 'conv2d' ? node.attrs.stride : 1,
          Number(direct),
        ],
      },
    ];
  },
});
