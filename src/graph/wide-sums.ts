/**
 * @file Holds in f32 what may leave the range of halves, and nothing else: for networks such as SDXL's VAE, whose residual
 * stream grows beyond 65504. Weights, and what norms and softmaxes keep small, stay as they are, so that convolutions still
 * multiply halves.
 */

import { producers, valueOf, type Graph, type Value } from './graph.ts';
import { inputsOf, type Node } from './ops.ts';
import type { ValueId } from './op.ts';

/** What attention reads: products of a norm's results by one layer, which its kernels want in one type. */
function attended(graph: Graph): Set<ValueId> {
  const makers = producers(graph);
  const found = new Set<ValueId>();
  const add = (value: ValueId): void => {
    found.add(value);
    const maker = makers.get(value);
    if (maker?.kind === 'addBias' || maker?.kind === 'reshape') add(maker.inputs.x);
  };
  for (const node of graph.nodes) if (node.kind === 'attention') inputsOf(node).forEach(([, id]) => add(id));
  return found;
}

/** The graph with every sum that no norm bounds in f32: results of convolutions and linear layers, and the residual stream. */
export function holdSumsWide(graph: Graph): Graph {
  const values = new Map(graph.values);
  const small = attended(graph);
  const isWide = (id: ValueId): boolean => values.get(id)?.dtype === 'f32';
  const grows = (node: Node): boolean => {
    switch (node.kind) {
      case 'groupNorm':
      case 'attention':
        return false;
      case 'activate':
      case 'reshape':
      case 'sliceChannels':
      case 'upsampleNearest':
        return isWide(node.inputs.x);
      default:
        return !small.has(node.output);
    }
  };
  for (const node of graph.nodes) {
    const value: Value = valueOf(graph, node.output);
    if (value.dtype === 'float' && grows(node)) values.set(node.output, { ...value, dtype: 'f32' });
  }
  return { ...graph, values };
}
