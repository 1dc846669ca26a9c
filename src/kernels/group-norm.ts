/** @file Group normalisation: moments of channels, folded to groups, then one pass over the value. */

import foldSource from '../../shaders/group-norm-fold.wgsl';
import momentsSource from '../../shaders/group-norm-moments.wgsl';
import source from '../../shaders/group-norm.wgsl';
import type { NodeOf } from '../graph/ops.ts';
import { channelsOf, defineKernel, elementCount, fold, reductionConstants, type KernelContext } from './kernel.ts';

/** Threads that the first pass should have: enough to fill the device, few enough to keep the second one small. */
const THREADS = { hardware: 65536, software: 256 };

interface Sizes {
  readonly batch: number;
  readonly positions: number;
  readonly channels: number;
  /** Channels of x; the rest are those of x2. */
  readonly firstChannels: number;
  /** Channels a vector, 4 or 1. */
  readonly width: number;
  /** Positions are walked in this many chunks of this size. */
  readonly chunks: number;
  readonly chunk: number;
}

function sizes({ inputs, output }: NodeOf<'groupNorm'>, context: KernelContext): Sizes {
  const shape = context.shapeOf(output);
  const batch = shape[0];
  const channels = channelsOf(context, output);
  const firstChannels = channelsOf(context, inputs.x);
  const positions = elementCount(shape) / (batch * channels);
  const width = channels % 4 === 0 && firstChannels % 4 === 0 ? 4 : 1;
  const threads = context.traits.software ? THREADS.software : THREADS.hardware;
  const wanted = Math.ceil(threads / (batch * (channels / width)));
  const chunk = Math.max(Math.ceil(positions / wanted), Math.min(positions, 16));
  return { batch, positions, channels, firstChannels, width, chunk, chunks: Math.ceil(positions / chunk) };
}

export const groupNorm = defineKernel({
  id: 'group-norm',
  ops: ['groupNorm'],
  scratchBytes(node, context) {
    const { batch, chunks, channels } = sizes(node, context);
    return [batch * chunks * 2 * channels * 4, batch * 2 * channels * 4];
  },
  launches(node, context) {
    const { batch, positions, channels, firstChannels, width, chunks, chunk } = sizes(node, context);
    const { groups, eps, activation } = node.attrs;
    const vectors = channels / width;
    const reduction = reductionConstants(context.traits);
    const constants = {
      TWO_SOURCES: node.inputs.x2 !== undefined,
      WIDE: width === 4,
      VECTORS: vectors,
      V1: firstChannels / width,
    };
    const parts = batch * chunks * vectors;
    const elements = batch * positions * vectors;
    return [
      {
        name: 'group-norm-moments',
        source: momentsSource,
        constants,
        dims: { count: parts, positions, chunks, chunk },
        workgroups: fold(Math.ceil(parts / 64), context.traits),
      },
      {
        name: 'group-norm-fold',
        source: foldSource,
        constants: {
          ...reduction,
          GROUPS: groups,
          GROUP_CHANNELS: channels / groups,
          CHANNELS: channels,
          EPS: { float: eps },
        },
        dims: { groups: batch * groups, positions, chunks, chunk },
        workgroups: fold(Math.ceil((batch * groups) / reduction.REDUCTIONS), context.traits),
      },
      {
        name: 'group-norm',
        source,
        constants: { ...constants, ACTIVATION: activation },
        dims: { count: elements, positions },
        workgroups: fold(Math.ceil(elements / 64), context.traits),
      },
    ];
  },
});
