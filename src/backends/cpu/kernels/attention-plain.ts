/** @file Attention of heads of any size, for small models. */

import { defineCpuKernel } from '../kernel.ts';
import { attentionOperands } from './attention.ts';

export const attentionPlain = defineCpuKernel({
  id: 'attention-plain',
  ops: ['attention'],
  launches(node, context) {
    const { inputs, attrs } = node;
    const [batch] = context.shapeOf(inputs.q);
    const { values, sizes, bias } = attentionOperands(node, context);
    return [{ name: 'attentionPlain', tasks: batch * attrs.heads, args: [...values, ...sizes, ...bias] }];
  },
});
