/** @file Group normalisation in one dispatch, where groups are small enough for a workgroup each. */

import source from '../../shaders/group-norm-whole.wgsl';
import {
  channelsOf,
  defineKernel,
  elementCount,
  fold,
  reductionConstants,
  type KernelContext,
  type NodesOf,
} from './kernel.ts';

/** Positions of an image up to which groups of few channels, and of these many, are read twice by one workgroup sooner than by all. */
const FEW_POSITIONS = 4096;
const MANY_POSITIONS = 16384;
const MANY_CHANNELS = 16;

/** Threads of a workgroup, for groups of fewer elements than `LARGE` and others. */
const LARGE = 130_000;
const LANES = { small: 512, large: 1024 };

interface Sizes {
  readonly batch: number;
  readonly positions: number;
  readonly channels: number;
  readonly firstChannels: number;
  readonly groupChannels: number;
  /** Channels a vector: 4, 2, or 0 if neither fits. */
  readonly width: number;
}

function sizesOf({ inputs, attrs, output }: NodesOf<'groupNorm'>, context: KernelContext): Sizes {
  const shape = context.shapeOf(output);
  const channels = channelsOf(context, output);
  const firstChannels = channelsOf(context, inputs.x);
  const groupChannels = channels / attrs.groups;
  const width = [4, 2].find((count) => groupChannels % count === 0 && firstChannels % count === 0) ?? 0;
  return {
    batch: shape[0],
    positions: elementCount(shape) / (shape[0] * channels),
    channels,
    firstChannels,
    groupChannels,
    width,
  };
}

export const groupNormWhole = defineKernel({
  id: 'group-norm-whole',
  ops: ['groupNorm'],
  supports(node, context) {
    const { positions, groupChannels, width } = sizesOf(node, context);
    const most = groupChannels >= MANY_CHANNELS ? MANY_POSITIONS : FEW_POSITIONS;
    return !context.traits.software && width > 0 && positions <= most;
  },
  launches(node, context) {
    const { batch, positions, channels, firstChannels, groupChannels, width } = sizesOf(node, context);
    const { groups, eps, activation } = node.attrs;
    const wanted = positions * groupChannels < LARGE ? LANES.small : LANES.large;
    const lanes = Math.min(wanted, context.traits.maxInvocationsPerWorkgroup);
    return [
      {
        name: 'group-norm-whole',
        source,
        constants: {
          ...reductionConstants(context.traits),
          LANES: lanes,
          WIDTH: width,
          TWO_SOURCES: node.inputs.x2 !== undefined,
          // A branch for both: half as many pipelines.
          ACTIVATION: activation === 'none' ? 'silu' : activation,
          EPS: { float: eps },
        },
        uniforms: ['EPS'],
        dims: {
          workgroups: batch * groups,
          groups,
          positions,
          vectors: channels / width,
          v1: firstChannels / width,
          groupVectors: groupChannels / width,
          stride: Math.floor(lanes / (groupChannels / width)),
          activated: activation === 'none' ? 0 : 1,
        },
        workgroups: fold(batch * groups, context.traits),
      },
    ];
  },
});
