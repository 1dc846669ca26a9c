/** @file Group normalisation of a part of an image by statistics of all its parts. */

import source from '../../shaders/group-norm-scale.wgsl';
import { applyLaunch, scalesBytes } from './group-norm.ts';
import { channelsOf, defineKernel, foldLanes } from './kernel.ts';

export const groupNormScale = defineKernel({
  id: 'group-norm-scale',
  ops: ['groupNormApply'],
  scratchBytes: (node, context) => [scalesBytes(node, context)],
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const { groups, eps } = node.attrs;
    const count = context.shapeOf(node.output)[0] * channels;
    return [
      {
        name: 'group-norm-scale',
        source,
        constants: {
          CHANNELS: channels,
          GROUPS: groups,
          GROUP_CHANNELS: channels / groups,
          EPS: { float: eps },
        },
        dims: { count },
        workgroups: foldLanes(count, context.traits),
      },
      applyLaunch(node, context, 'scratch0'),
    ];
  },
});
