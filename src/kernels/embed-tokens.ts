/** @file Token embedding plus position embedding. */

import source from '../../shaders/embed-tokens.wgsl';
import { channelsOf, defineKernel, elementCount, fold } from './kernel.ts';

export const embedTokens = defineKernel({
  id: 'embed-tokens',
  ops: ['embedTokens'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    const [, tokens] = context.shapeOf(node.inputs.ids);
    return [
      {
        name: 'embed-tokens',
        source,
        constants: { CHANNELS: channelsOf(context, node.output), ROWS: context.shapeOf(node.inputs.table)[0] },
        dims: { count, tokens },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
