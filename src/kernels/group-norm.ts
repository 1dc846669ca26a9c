/** @file Group normalisation: moments of channels, folded to groups, then one pass over the value. */

import foldSource from '../../shaders/group-norm-fold.wgsl';
import momentsSource from '../../shaders/group-norm-moments.wgsl';
import source from '../../shaders/group-norm.wgsl';
import {
  channelsOf,
  defineKernel,
  elementCount,
  fold,
  foldLanes,
  reductionConstants,
  type KernelContext,
  type Launch,
  type NodesOf,
} from './kernel.ts';

type NormNode = NodesOf<'groupNorm' | 'groupNormStats' | 'groupNormApply'>;

/** Threads that the first pass should have: enough to fill the device, few enough to keep the second one small. */
const THREADS = { hardware: 65536, software: 256 };

/** Fewest positions in a chunk, if there are as many. */
const LEAST_CHUNK = 16;

interface Sizes {
  readonly batch: number;
  readonly positions: number;
  readonly channels: number;
  readonly groupChannels: number;
  /** Channels of x; the rest are those of x2. */
  readonly firstChannels: number;
  /** Channels a vector, 4 or 1. */
  readonly width: number;
  /** Positions are walked in this many chunks of this size. */
  readonly chunks: number;
  readonly chunk: number;
}

function sizesOf({ inputs, attrs }: NormNode, context: KernelContext): Sizes {
  const shape = context.shapeOf(inputs.x);
  const batch = shape[0];
  const firstChannels = channelsOf(context, inputs.x);
  const channels = firstChannels + (inputs.x2 === undefined ? 0 : channelsOf(context, inputs.x2));
  const positions = elementCount(shape) / (batch * firstChannels);
  const width = channels % 4 === 0 && firstChannels % 4 === 0 ? 4 : 1;
  const threads = context.traits.software ? THREADS.software : THREADS.hardware;
  const wanted = Math.ceil(threads / (batch * (channels / width)));
  const chunk = Math.max(Math.ceil(positions / wanted), Math.min(positions, LEAST_CHUNK));
  const chunks = Math.ceil(positions / chunk);
  return {
    batch,
    positions,
    channels,
    groupChannels: channels / attrs.groups,
    firstChannels,
    width,
    chunk,
    chunks,
  };
}

/** Passed as uniforms: a VAE has three or four of each. */
const SIZES = ['VECTORS', 'V1', 'GROUPS', 'GROUP_CHANNELS', 'CHANNELS', 'EPS'];

function sourceConstants(node: NormNode, { channels, firstChannels, width }: Sizes) {
  return {
    TWO_SOURCES: node.inputs.x2 !== undefined,
    WIDE: width === 4,
    VECTORS: channels / width,
    V1: firstChannels / width,
  };
}

/** Bytes of the moments that the first pass leaves in scratch0. */
export function momentsBytes(node: NormNode, context: KernelContext): number {
  const { batch, chunks, channels } = sizesOf(node, context);
  return batch * chunks * 2 * channels * 4;
}

/** Bytes of each channel's mean and scale. */
export function scalesBytes(node: NormNode, context: KernelContext): number {
  const { batch, channels } = sizesOf(node, context);
  return batch * 2 * channels * 4;
}

/** Moments of channels, folded to groups: to scales in scratch1 for a whole norm, else to the three numbers in y. */
export function statisticsLaunches(
  node: NodesOf<'groupNorm' | 'groupNormStats'>,
  context: KernelContext,
): Launch[] {
  const sizes = sizesOf(node, context);
  const { batch, positions, channels, groupChannels, width, chunks, chunk } = sizes;
  const parts = (batch * chunks * channels) / width;
  const reduction = reductionConstants(context.traits);
  return [
    {
      name: 'group-norm-moments',
      source: momentsSource,
      constants: sourceConstants(node, sizes),
      uniforms: SIZES,
      dims: { count: parts, positions, chunks, chunk },
      workgroups: foldLanes(parts, context.traits),
    },
    {
      name: 'group-norm-fold',
      source: foldSource,
      constants: {
        ...reduction,
        CHANNEL_SCALES: node.kind === 'groupNorm',
        PREVIOUS: node.kind === 'groupNormStats' && node.inputs.previous !== undefined,
        GROUPS: node.attrs.groups,
        GROUP_CHANNELS: groupChannels,
        CHANNELS: channels,
        EPS: { float: node.kind === 'groupNorm' ? node.attrs.eps : 0 },
      },
      uniforms: SIZES,
      dims: { groups: batch * node.attrs.groups, positions, chunks, chunk },
      workgroups: fold(Math.ceil((batch * node.attrs.groups) / reduction.REDUCTIONS), context.traits),
    },
  ];
}

/** The pass over the value; `scales` is the scratch range with the channels' means and scales. */
export function applyLaunch(
  node: NodesOf<'groupNorm' | 'groupNormApply'>,
  context: KernelContext,
  scales: string,
): Launch {
  const sizes = sizesOf(node, context);
  const count = (sizes.batch * sizes.positions * sizes.channels) / sizes.width;
  return {
    name: 'group-norm',
    source,
    constants: { ...sourceConstants(node, sizes), ACTIVATION: node.attrs.activation },
    uniforms: SIZES,
    dims: { count, positions: sizes.positions },
    workgroups: foldLanes(count, context.traits),
    aliases: { scales },
  };
}

export const groupNorm = defineKernel({
  id: 'group-norm',
  ops: ['groupNorm'],
  scratchBytes: (node, context) => [momentsBytes(node, context), scalesBytes(node, context)],
  launches: (node, context) => [...statisticsLaunches(node, context), applyLaunch(node, context, 'scratch1')],
});
