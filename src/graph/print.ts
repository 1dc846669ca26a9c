/** @file Prints a graph, one line a node, for `calotype inspect` and for people who debug passes. */

import { formatShape } from '../tensor/shape.ts';
import { valueOf, type Graph } from './graph.ts';
import { inputsOf, type Node } from './ops.ts';

function formatAttrs(node: Node): string {
  const shown = Object.entries<unknown>(node.attrs).filter(
    ([, value]) => value !== false && value !== 'none' && typeof value !== 'object',
  );
  return shown.map(([key, value]) => ` ${key}=${String(value)}`).join('');
}

/** `%12 = conv2d(x=%3, weight=%4) stride=1 -> [2, 32, 32, 96]  # down_blocks.0.resnets.0.conv1` */
export function printNode(graph: Graph, node: Node): string {
  const args = inputsOf(node).map(([name, id]) => `${name}=%${id}`);
  const shape = formatShape(valueOf(graph, node.output).shape);
  return `%${node.output} = ${node.kind}(${args.join(', ')})${formatAttrs(node)} -> ${shape}  # ${node.name}`;
}

/** The whole graph as text: inputs, nodes in order, outputs. Weights are counted, not listed. */
export function printGraph(graph: Graph): string {
  return [
    `graph ${graph.name}: ${graph.nodes.length} ops, ${graph.weights.length} weights`,
    ...graph.inputs.map(
      ({ name, value, rate }) =>
        `%${value} = input ${name} ${formatShape(valueOf(graph, value).shape)} (${rate})`,
    ),
    ...graph.nodes.map((node) => printNode(graph, node)),
    ...graph.outputs.map(
      ({ name, value, updates }) => `output ${name} = %${value}${updates ? ` updates ${updates}` : ''}`,
    ),
  ].join('\n');
}
