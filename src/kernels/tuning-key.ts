/** @file What nodes have in common that the same kernel runs fastest: the key of a row in tables of measurements. */

import type { Node } from '../graph/ops.ts';
import { gemmSize } from './gemm.ts';
import { channelsOf, type KernelContext } from './kernel.ts';

/**
 * `conv2d 8192x320x2880 f16`, `attention 2x4096x4096 8x40 f16`: sizes and types, and what changes the way memory is read.
 * Undefined for nodes of kinds that are not worth measuring.
 */
export function tuningKey(node: Node, context: KernelContext): string | undefined {
  if (node.kind === 'attention') {
    const { q, k } = node.inputs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const { heads, headDim, causal } = node.attrs;
    // Rows of a fused projection are far apart.
    const pitch = channelsOf(context, q) === heads * headDim ? '' : ' fused';
    const words = `${causal ? ' causal' : ''}${pitch}`;
    return `attention ${batch}x${queries}x${keys} ${heads}x${headDim}${words} ${context.dtypeOf(q)}`;
  }
  if (node.kind !== 'conv2d' && node.kind !== 'linear') return undefined;
  const { rows, columns, sources, taps, gated } = gemmSize(node, context);
  const depth = taps * sources.reduce((a, b) => a + b, 0);
  const words = [
    ...(gated ? ['geglu'] : []),
    ...(sources.length > 1 ? ['two'] : []),
    ...(node.kind === 'conv2d' && taps > 1 ? [`taps ${taps}`] : []),
    ...(node.kind === 'conv2d' && node.attrs.stride > 1 ? [`stride ${node.attrs.stride}`] : []),
    ...(node.kind === 'conv2d' && node.attrs.upsample ? ['upsample'] : []),
    context.dtypeOf(node.inputs.weight),
  ];
  return `${node.kind} ${rows}x${columns}x${depth} ${words.join(' ')}`;
}
