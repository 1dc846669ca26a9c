/** @file Group normalisation: moments of chunks of rows, joined to scales of channels, then one pass over the value. */

import {
  channelsOf,
  defineCpuKernel,
  rowsOf,
  THREAD_SCRATCH_BYTES,
  type Argument,
  type CpuContext,
  type CpuLaunch,
  type NodesOf,
} from '../kernel.ts';
import { activationCode } from './activation.ts';
import { rowTasks } from './tasks.ts';

type NormNode = NodesOf<'groupNorm' | 'groupNormStats' | 'groupNormApply'>;

/** Most elements of a chunk with few channels: it stays in a core's cache between the two times it is read. */
const CHUNK_ELEMENTS = 16384;

/** Chunks of fewer rows take longer to join their channels to groups than to be read; they may be for more tasks. */
const CHUNK_ROWS = 32;

/** Chunks that all images together should have, if they have the rows. */
const WANTED_CHUNKS = 32;

/** Fewest rows of a chunk. */
const LEAST_ROWS = 8;

/** Partials that a task joins: some microseconds. */
const TASK_PARTIALS = 2048;

interface Sizes {
  readonly images: number;
  readonly imageRows: number;
  readonly channels1: number;
  readonly channels2: number;
  readonly channels: number;
  /** Rows of a chunk, and chunks of an image. */
  readonly chunkRows: number;
  readonly chunks: number;
  /** Entries of a table with a number for each channel, so many that vectors may hang over. */
  readonly pitch: number;
}

function sizesOf({ inputs }: NormNode, context: CpuContext): Sizes {
  const [images] = context.shapeOf(inputs.x);
  const rows = rowsOf(context, inputs.x);
  const imageRows = rows / images;
  const channels1 = channelsOf(context, inputs.x);
  const channels2 = inputs.x2 === undefined ? 0 : channelsOf(context, inputs.x2);
  const channels = channels1 + channels2;
  const large = Math.max(CHUNK_ROWS, Math.floor(CHUNK_ELEMENTS / channels));
  const chunkRows = Math.max(LEAST_ROWS, Math.min(large, Math.ceil(rows / WANTED_CHUNKS)));
  const chunks = Math.ceil(imageRows / chunkRows);
  const pitch = Math.ceil((channels + 3) / 16) * 16;
  return { images, imageRows, channels1, channels2, channels, chunkRows, chunks, pitch };
}

/** Whether the moments of a chunk's channels, three numbers and some room each, fit in a thread's scratch. */
export function fitsScratch(node: NormNode, context: CpuContext): boolean {
  return 12 * (sizesOf(node, context).channels + 4) <= THREAD_SCRATCH_BYTES;
}

/** Bytes of the partials that the first launch leaves in scratch0. */
export function partialBytes(node: NormNode, context: CpuContext): number {
  const { images, chunks } = sizesOf(node, context);
  return images * node.attrs.groups * chunks * 16;
}

/** Bytes of the tables with mean, scale and shift of each channel. */
export function tableBytes(node: NormNode, context: CpuContext): number {
  const { images, pitch } = sizesOf(node, context);
  return images * 3 * pitch * 4;
}

/** Moments of all chunks, to scratch0. */
export function momentsLaunch(node: NormNode, context: CpuContext): CpuLaunch {
  const { images, imageRows, channels1, channels2, chunkRows, chunks } = sizesOf(node, context);
  const sizes = [imageRows, chunkRows, channels1, channels2, node.attrs.groups];
  return { name: 'groupNormMoments', tasks: images * chunks, args: ['x', 'x2', 'scratch0', ...sizes] };
}

/** Statistics from the partials in scratch0. */
export function statisticsLaunch(node: NodesOf<'groupNormStats'>, context: CpuContext): CpuLaunch {
  const { images, imageRows, channels, chunkRows, chunks } = sizesOf(node, context);
  const { tasks, groups, chunk } = groupTasks(images * node.attrs.groups, chunks);
  const sizes = [groups, chunk, imageRows, chunkRows, channels / node.attrs.groups];
  return { name: 'groupNormStatistics', tasks, args: ['scratch0', 'previous', 'y', ...sizes] };
}

/** Tables from partials or, for groupNormApply, from statistics; to the scratch range `tables`. */
export function scalesLaunch(
  node: NodesOf<'groupNorm' | 'groupNormApply'>,
  context: CpuContext,
  tables: string,
): CpuLaunch {
  const { images, imageRows, channels, chunkRows, chunks, pitch } = sizesOf(node, context);
  const given = node.kind === 'groupNormApply';
  const { tasks, groups, chunk } = groupTasks(images * node.attrs.groups, given ? 1 : chunks);
  const args: Argument[] = ['weight', 'bias', tables, groups, chunk];
  const end: Argument[] = [channels, node.attrs.groups, pitch, { f32: node.attrs.eps }];
  return given
    ? { name: 'groupNormGivenScales', tasks, args: ['stats', ...args, ...end] }
    : { name: 'groupNormScales', tasks, args: ['scratch0', ...args, imageRows, chunkRows, ...end] };
}

/** The pass over the value, by the tables in the scratch range `tables`. */
export function rowsLaunch(
  node: NodesOf<'groupNorm' | 'groupNormApply'>,
  context: CpuContext,
  tables: string,
): CpuLaunch {
  const { images, imageRows, channels1, channels2, channels, pitch } = sizesOf(node, context);
  const rows = images * imageRows;
  const { tasks, chunk } = rowTasks(rows, channels);
  const activation = activationCode(node.attrs.activation);
  const sizes = [rows, chunk, imageRows, channels1, channels2, pitch, activation];
  return { name: 'groupNormRows', tasks, args: ['x', 'x2', 'y', tables, ...sizes] };
}

/** Tasks for groups of all images with some partials each, and the groups of a task. */
function groupTasks(groups: number, partials: number): { tasks: number; groups: number; chunk: number } {
  const chunk = Math.max(1, Math.floor(TASK_PARTIALS / partials));
  return { tasks: Math.ceil(groups / chunk), groups, chunk };
}

export const groupNorm = defineCpuKernel({
  id: 'group-norm',
  ops: ['groupNorm'],
  supports: fitsScratch,
  scratchBytes: (node, context) => [partialBytes(node, context), tableBytes(node, context)],
  launches: (node, context) => [
    momentsLaunch(node, context),
    scalesLaunch(node, context, 'scratch1'),
    rowsLaunch(node, context, 'scratch1'),
  ],
});
