/** @file 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3), where most of its tiles' pixels exist. */

import { defineCpuKernel, type CpuContext, type CpuLaunch, type NodesOf } from '../kernel.ts';
import { panelPacking } from './gemm.ts';
import { align, matrixArguments, matrixSize, paddedChannels, panelCount, PANEL_COLUMNS } from './matrix.ts';

const POSITIONS = 36;

/** Bytes of transformed inputs at a time, so that they stay in a cache until they are used. */
const INPUT_BYTES = 4 * 2 ** 20;

/** Most tiles of a block; transforming the weights of a panel takes as long as multiplying about 8 tiles. */
const BLOCK_TILES = 64;

/** Most steps between adding to the sums: the transformed panel and the sums of 36 positions fit scratch. */
const DEPTH = 64;

/** Channels of a task that transforms inputs. */
const INPUT_DEPTH = 32;

/** Most bytes of the sums of a task, and the number of tasks wanted. */
const SUM_BYTES = 160 * 1024;
const TASKS = 32;

/** Of fewer channels, transforming takes longer than multiplying. */
const MIN_CHANNELS = 16;

interface Tiling {
  readonly tiles: number;
  /** Tiles of a block: rows of one task's products. */
  readonly block: number;
  /** Tiles whose inputs are transformed before they are multiplied; a whole number of blocks. */
  readonly wave: number;
  /** Bytes between positions of a block's transformed inputs. */
  readonly positionBytes: number;
}

function tilingOf(node: NodesOf<'conv2d'>, context: CpuContext): Tiling {
  const [batch, height, width] = context.shapeOf(node.output);
  const tiles = batch * Math.ceil(height / 4) * Math.ceil(width / 4);
  const block = Math.ceil(tiles / Math.ceil(tiles / BLOCK_TILES));
  const depth = paddedChannels(matrixSize(node, context).channels);
  // Rows are padded by 3 at most; a cache line more that keeps positions from competing for the same ones.
  const positionBytes = align((align(block, 2) + 4) * depth * 4, 64) + 64;
  const blocks = Math.max(1, Math.floor(INPUT_BYTES / (POSITIONS * positionBytes)));
  return { tiles, block, wave: Math.min(blocks, Math.ceil(tiles / block)) * block, positionBytes };
}

/** Column panels of a task: even shares. */
function taskPanelsOf(panels: number, block: number, blocks: number): number {
  const fit = Math.floor(SUM_BYTES / (POSITIONS * (block + 4) * PANEL_COLUMNS * 4));
  const shared = Math.ceil((panels * blocks) / TASKS);
  return Math.ceil(panels / Math.ceil(panels / Math.min(fit, shared)));
}

export const winograd = defineCpuKernel({
  id: 'winograd',
  ops: ['conv2d'],
  inPlace: () => 'residual',
  supports(node, context) {
    const { kernel, channels } = matrixSize(node, context);
    if (kernel[0] !== 3 || kernel[1] !== 3 || node.attrs.stride !== 1) return false;
    const [, height, width] = context.shapeOf(node.output);
    const used = (height * width) / (align(height, 4) * align(width, 4));
    return used >= 0.5 && channels[0] + channels[1] >= MIN_CHANNELS;
  },
  packing(node, context) {
    const { channels, gated } = matrixSize(node, context);
    return { weight: panelPacking(channels, gated) };
  },
  scratchBytes(node, context) {
    const { block, wave, positionBytes } = tilingOf(node, context);
    return [(wave / block) * POSITIONS * positionBytes];
  },
  launches(node, context) {
    const size = matrixSize(node, context);
    const { tiles, block, wave, positionBytes } = tilingOf(node, context);
    const panels = panelCount(size.columns, false);
    const depth = paddedChannels(size.channels);
    const stepDepth = align(depth / Math.ceil(depth / DEPTH), 4);
    const taskPanels = taskPanelsOf(panels, block, wave / block);
    const shared = matrixArguments(node, context);
    const launches: CpuLaunch[] = [];
    for (let first = 0; first < tiles; first += wave) {
      const count = Math.min(wave, tiles - first);
      const blocks = Math.ceil(count / block);
      const own = (steps: number) => [
        ...shared,
        'scratch0',
        positionBytes,
        first,
        count,
        block,
        depth,
        steps,
        panels,
        taskPanels,
      ];
      launches.push(
        {
          name: 'winogradInput',
          tasks: blocks * Math.ceil(depth / INPUT_DEPTH),
          args: own(INPUT_DEPTH),
        },
        { name: 'winograd', tasks: blocks * Math.ceil(panels / taskPanels), args: own(stepDepth) },
      );
    }
    return launches;
  },
});
