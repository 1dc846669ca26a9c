/** @file Keeps some of a graph's outputs. */

import { GraphError } from '../errors.ts';
import { removeUnused, type Graph } from '../graph/graph.ts';

/**
 * The same graph with only these outputs, and without what no longer serves one (inputs and weights included).
 * @throws GraphError for a name that is not an output.
 */
export function selectOutputs(graph: Graph, names: readonly string[]): Graph {
  const outputs = names.map((name) => {
    const output = graph.outputs.find((candidate) => candidate.name === name);
    if (!output)
      throw new GraphError(`graph "${graph.name}" has no output "${name}"`, {
        remedy: `Choose among ${graph.outputs.map((candidate) => candidate.name).join(', ')}`,
      });
    return output;
  });
  return removeUnused({ ...graph, outputs });
}
