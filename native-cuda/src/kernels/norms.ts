/** @file Group normalisation in two launches, and in parts (statistics, application). */

import {
  channelsOf,
  defineCudaKernel,
  elementOf,
  rowsOf,
  type CudaContext,
  type NodesOf,
} from '../kernel.ts';
import { defineLaunch, type ArgumentsOf, type CudaLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';

/** The struct NormSource. */
const SOURCE = {
  x: 'pointer',
  x2: 'pointer',
  channels1: 'i32',
  channels2: 'i32',
  groups: 'i32',
  images: 'i32',
  imageRows: 'i64',
} as const;

export const groupNormMomentsLaunch = defineLaunch('group_norm_moments', {
  ...SOURCE,
  partials: 'pointer',
  chunks: 'i32',
  chunkRows: 'i32',
  element: 'i32',
});

export const groupNormStatisticsLaunch = defineLaunch('group_norm_statistics', {
  ...SOURCE,
  partials: 'pointer',
  previous: 'pointer',
  y: 'pointer',
  chunks: 'i32',
  element: 'i32',
});

export const groupNormApplyLaunch = defineLaunch('group_norm_apply', {
  ...SOURCE,
  partials: 'pointer',
  statistics: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  y: 'pointer',
  chunks: 'i32',
  activation: 'i32',
  eps: 'f32',
  element: 'i32',
});

type NormNode = NodesOf<'groupNorm' | 'groupNormStats' | 'groupNormApply'>;

/** Chunks that an image is cut into for its moments: partials few enough to be joined by all blocks of the application. */
const MAX_CHUNKS = 32;
const LEAST_CHUNK_ROWS = 8;

/** Rows from which on an image's partials are joined by a launch of their own, so that there may be more: for a whole card. */
const MANY_ROWS = 8192;
const MAX_JOINED_CHUNKS = 256;

/** Bytes of a group's count, mean and sum of squares. */
const STATISTICS_BYTES = 12;

/** Channels of a block's sums in shared memory, 8 bytes each of 48 KiB. */
const MAX_CHANNELS = 6144;

function sourceOf(node: NormNode, context: CudaContext): ArgumentsOf<typeof SOURCE> {
  const { x, x2 } = node.inputs;
  const [images] = context.shapeOf(x);
  return {
    x: 'x',
    x2: 'x2',
    channels1: channelsOf(context, x),
    channels2: x2 === undefined ? 0 : channelsOf(context, x2),
    groups: node.attrs.groups,
    images,
    imageRows: rowsOf(context, x) / images,
  };
}

function chunksOf({ imageRows }: { readonly imageRows: number }): { chunks: number; chunkRows: number } {
  const most = imageRows < MANY_ROWS ? MAX_CHUNKS : MAX_JOINED_CHUNKS;
  const chunkRows = Math.max(LEAST_CHUNK_ROWS, Math.ceil(imageRows / most));
  return { chunks: Math.ceil(imageRows / chunkRows), chunkRows };
}

/** Moments of all chunks, to scratch0. */
function momentsLaunch(node: NormNode, context: CudaContext): CudaLaunch {
  const source = sourceOf(node, context);
  const element = elementOf(context, node.inputs.x);
  return groupNormMomentsLaunch.with({ ...source, partials: 'scratch0', ...chunksOf(source), element });
}

function partialBytes(node: NormNode, context: CudaContext): number[] {
  const source = sourceOf(node, context);
  return [8 * source.images * source.groups * chunksOf(source).chunks];
}

function supportsSource(node: NormNode, context: CudaContext): boolean {
  const { channels1, channels2 } = sourceOf(node, context);
  return channels1 + channels2 <= MAX_CHANNELS;
}

function applyLaunch(
  node: NodesOf<'groupNorm' | 'groupNormApply'>,
  context: CudaContext,
  moments: { readonly partials: string; readonly statistics: string; readonly chunks: number },
): CudaLaunch {
  return groupNormApplyLaunch.with({
    ...sourceOf(node, context),
    ...moments,
    weight: 'weight',
    bias: 'bias',
    y: 'y',
    activation: activationCode(node.attrs.activation),
    eps: node.attrs.eps,
    element: elementOf(context, node.output),
  });
}

/** Statistics of scratch0's partials and of those that came before, to `y`. */
function statisticsLaunch(
  node: NormNode,
  context: CudaContext,
  operands: { readonly previous: string; readonly y: string },
): CudaLaunch {
  const source = sourceOf(node, context);
  const { chunks } = chunksOf(source);
  const element = elementOf(context, node.inputs.x);
  return groupNormStatisticsLaunch.with({ ...source, partials: 'scratch0', ...operands, chunks, element });
}

export const groupNormChunks = defineCudaKernel({
  id: 'group-norm-chunks',
  ops: ['groupNorm'],
  supports: supportsSource,
  scratchBytes(node, context) {
    const { images, groups, imageRows } = sourceOf(node, context);
    const statistics = imageRows < MANY_ROWS ? [] : [STATISTICS_BYTES * images * groups];
    return [...partialBytes(node, context), ...statistics];
  },
  launches(node, context) {
    const source = sourceOf(node, context);
    const { chunks } = chunksOf(source);
    const moments = momentsLaunch(node, context);
    if (source.imageRows < MANY_ROWS)
      return [moments, applyLaunch(node, context, { partials: 'scratch0', statistics: 'none', chunks })];
    return [
      moments,
      statisticsLaunch(node, context, { previous: 'none', y: 'scratch1' }),
      applyLaunch(node, context, { partials: 'none', statistics: 'scratch1', chunks: 0 }),
    ];
  },
});

export const groupNormStats = defineCudaKernel({
  id: 'group-norm-stats',
  ops: ['groupNormStats'],
  otherTypes: ['x', 'x2'],
  supports: supportsSource,
  scratchBytes: partialBytes,
  launches: (node, context) => [
    momentsLaunch(node, context),
    statisticsLaunch(node, context, { previous: 'previous', y: 'y' }),
  ],
});

export const groupNormApply = defineCudaKernel({
  id: 'group-norm-apply',
  ops: ['groupNormApply'],
  otherTypes: ['stats'],
  launches: (node, context) => [
    applyLaunch(node, context, { partials: 'none', statistics: 'stats', chunks: 0 }),
  ],
});
