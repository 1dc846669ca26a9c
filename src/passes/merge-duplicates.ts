/** @file Computes equal nodes once (a network applies SiLU to its time embedding again in every block). */

import type { ValueId } from '../graph/op.ts';
import type { Node } from '../graph/ops.ts';
import { removeUnused } from '../graph/graph.ts';
import { formatShape, type Shape } from '../tensor/shape.ts';
import { replaceInputs, type Pass } from './pass.ts';

function keyOf(node: Node): string {
  return `${node.kind}${JSON.stringify(node.inputs)}${JSON.stringify(node.attrs, (_key, value: unknown) => (isShape(value) ? formatShape(value) : value))}`;
}

function isShape(value: unknown): value is Shape {
  return (
    Array.isArray(value) &&
    value.every((dim) => typeof dim === 'number' || (typeof dim === 'object' && dim !== null && 'key' in dim))
  );
}

export const mergeDuplicates: Pass = {
  name: 'merge-duplicates',
  summary: 'equal nodes are computed once',
  run(graph) {
    const seen = new Map<string, ValueId>();
    const replacement = new Map<ValueId, ValueId>();
    const nodes: Node[] = [];
    for (const original of graph.nodes) {
      const node = replaceInputs(original, replacement);
      const key = keyOf(node);
      const known = seen.get(key);
      if (known === undefined) {
        seen.set(key, node.output);
        nodes.push(node);
      } else replacement.set(node.output, known);
    }
    const outputs = graph.outputs.map((output) => ({
      ...output,
      value: replacement.get(output.value) ?? output.value,
    }));
    return { graph: removeUnused({ ...graph, nodes, outputs }), applied: replacement.size, refused: {} };
  },
};
