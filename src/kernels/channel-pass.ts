/** @file What the sums weighted by batch row share: one pass over a value, 4 channels a lane where the sizes allow it. */

import { channelsOf, elementCount, foldLanes, type KernelContext, type NodesOf } from './kernel.ts';

/** How many channels a lane takes (V in the shader), and what a launch says of that. */
export function channelPass(node: NodesOf<'addGated' | 'addScaled'>, context: KernelContext) {
  const shape = context.shapeOf(node.output);
  const channels = channelsOf(context, node.output);
  const width = channels % 4 === 0 ? 4 : 1;
  const count = elementCount(shape) / width;
  return {
    width,
    constants: { WIDE: width === 4, IN_PLACE: context.inPlace === 'x', CHANNELS: channels / width },
    /** Elements, and elements of a batch row, in V. */
    dims: { count, image: count / shape[0] },
    workgroups: foldLanes(count, context.traits),
  };
}
