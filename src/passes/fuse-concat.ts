/** @file Lets convolutions and group norms read two sources, so that skip connections are never copied together. */

import type { ValueId } from '../graph/op.ts';
import { inputsOf, type Node, type NodeOf } from '../graph/ops.ts';
import { removeUnused } from '../graph/graph.ts';
import type { Pass } from './pass.ts';

function canReadTwo(node: Node, value: ValueId): node is NodeOf<'conv2d'> | NodeOf<'groupNorm'> {
  return (
    (node.kind === 'conv2d' || node.kind === 'groupNorm') &&
    node.inputs.x2 === undefined &&
    inputsOf(node).every(([name, id]) => id !== value || name === 'x')
  );
}

export const fuseConcat: Pass = {
  name: 'concat',
  summary: 'convolution or group norm reading two sources',
  run(graph) {
    const outputs = new Set(graph.outputs.map((output) => output.value));
    const sources = new Map<ValueId, { x: ValueId; x2: ValueId }>();
    const refused: Record<string, number> = {};
    for (const node of graph.nodes) {
      if (node.kind !== 'concat') continue;
      const users = graph.nodes.filter((user) => inputsOf(user).some(([, id]) => id === node.output));
      if (outputs.has(node.output) || !users.every((user) => canReadTwo(user, node.output)))
        refused['another op reads the concatenation'] =
          (refused['another op reads the concatenation'] ?? 0) + 1;
      else sources.set(node.output, { x: node.inputs.a, x2: node.inputs.b });
    }
    const nodes = graph.nodes.map((node): Node => {
      if (node.kind !== 'conv2d' && node.kind !== 'groupNorm') return node;
      const pair = sources.get(node.inputs.x);
      if (!pair) return node;
      return node.kind === 'conv2d'
        ? { ...node, inputs: { ...node.inputs, ...pair } }
        : { ...node, inputs: { ...node.inputs, ...pair } };
    });
    return { graph: removeUnused({ ...graph, nodes }), applied: sources.size, refused };
  },
};
