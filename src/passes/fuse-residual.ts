/** @file Adds residuals in the epilogue of the convolution or linear layer that made one of the two terms. */

import type { ValueId } from '../graph/op.ts';
import type { Node, NodeOf } from '../graph/ops.ts';
import { rewriteNodes, type Pass, type RewriteContext } from './pass.ts';

type Layer = NodeOf<'conv2d'> | NodeOf<'linear'>;

/** The layer that made `term`, directly or behind one reshape. */
function layerBehind(
  term: ValueId,
  { producer, usedOnce }: RewriteContext,
): { layer: Layer; view: boolean } | undefined {
  if (!usedOnce(term)) return undefined;
  const maker = producer(term);
  const view = maker?.kind === 'reshape';
  const layer = view ? producer(maker.inputs.x) : maker;
  if (layer?.kind !== 'conv2d' && layer?.kind !== 'linear') return undefined;
  if (!usedOnce(layer.output) || layer.inputs.residual !== undefined || layer.attrs.activation !== 'none')
    return undefined;
  return { layer, view };
}

function withResidual(layer: Layer, residual: ValueId, output: ValueId): Node {
  return layer.kind === 'conv2d'
    ? { ...layer, inputs: { ...layer.inputs, residual }, output }
    : { ...layer, inputs: { ...layer.inputs, residual }, output };
}

export const fuseResidual: Pass = {
  name: 'residual',
  summary: 'convolution or linear + residual',
  run(graph, target) {
    const position = new Map(graph.nodes.map((node, index) => [node.output, index]));
    return rewriteNodes(graph, target, (node, context) => {
      if (node.kind !== 'add') return undefined;
      // Of two candidates take the later one: the other is finished by then.
      const terms = [node.inputs.a, node.inputs.b].sort(
        (s, t) => (position.get(t) ?? -1) - (position.get(s) ?? -1),
      );
      for (const term of terms) {
        const found = layerBehind(term, context);
        if (!found) continue;
        const other = term === node.inputs.a ? node.inputs.b : node.inputs.a;
        const { layer, view } = found;
        if (!view) return [withResidual(layer, other, node.output)];
        // layer -> reshape -> add: view the other term as the layer sees it, add there, and reshape the sum.
        const type = context.value(layer.output);
        const residual = context.newValue({ ...type, name: `${node.name}.residual` });
        const sum = context.newValue({ ...type, name: node.name });
        return [
          {
            kind: 'reshape',
            name: `${node.name}.residual`,
            inputs: { x: other },
            attrs: { shape: type.shape },
            output: residual,
          },
          withResidual(layer, residual, sum),
          {
            kind: 'reshape',
            name: node.name,
            inputs: { x: sum },
            attrs: { shape: context.value(node.output).shape },
            output: node.output,
          },
        ];
      }
      return 'neither term comes from a layer that could add the other';
    });
  },
};
