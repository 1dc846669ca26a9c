/**
 * @file Runs a graph without a plan, one node after the other: how passes and networks are tested.
 */

import { GraphError, OptionError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import { useCounts, valueOf, type Graph } from '../../graph/graph.ts';
import { inputsOf } from '../../graph/ops.ts';
import { concrete } from '../../tensor/shape.ts';
import type { WeightReader } from '../backend.ts';
import { elementCount, type Data, type Tensor } from './op.ts';
import { computeNode } from './ops.ts';
import { loadWeight } from './weights.ts';

/**
 * Computes a graph's outputs. Weights are read when first used, and every value is dropped after its last use.
 * @param graph with concrete shapes (`bindGraph`).
 * @param inputs elements by input name; Int32Array for i32 values.
 * @returns elements by output name.
 * @throws OptionError for a missing input or one of the wrong length or type; as `loadWeight` for weights.
 */
export async function evaluateGraph(
  graph: Graph,
  inputs: ReadonlyMap<string, Data>,
  weights: WeightReader,
): Promise<Map<string, Data>> {
  const live = new Map<ValueId, Data>();
  for (const { name, value } of graph.inputs)
    live.set(value, inputData(graph, name, value, inputs.get(name)));
  const weightOf = new Map(graph.weights.map((weight) => [weight.value, weight]));
  const uses = useCounts(graph);
  const load = async (id: ValueId): Promise<void> => {
    const weight = weightOf.get(id);
    if (weight && !live.has(id)) live.set(id, await loadWeight(weight, weights));
  };
  const tensorOf = (id: ValueId): Tensor => {
    const data = live.get(id);
    if (!data)
      throw new GraphError(`value ${id} is used before it is made`, {
        remedy: 'Run checkGraph on the graph',
      });
    return { shape: concrete(valueOf(graph, id).shape), data };
  };
  for (const node of graph.nodes) {
    for (const [, id] of inputsOf(node)) await load(id);
    live.set(node.output, computeNode(node, tensorOf, concrete(valueOf(graph, node.output).shape)));
    for (const [, id] of inputsOf(node)) {
      const left = (uses.get(id) ?? 0) - 1;
      uses.set(id, left);
      if (left === 0) live.delete(id);
    }
  }
  const outputs = new Map<string, Data>();
  for (const { name, value } of graph.outputs) {
    await load(value);
    outputs.set(name, tensorOf(value).data);
  }
  return outputs;
}

function inputData(graph: Graph, name: string, id: ValueId, data: Data | undefined): Data {
  const { shape, dtype } = valueOf(graph, id);
  const count = elementCount(concrete(shape));
  const type = dtype === 'i32' ? Int32Array : Float32Array;
  if (data instanceof type && data.length === count) return data;
  throw new OptionError(data ? `is a ${data.constructor.name} of ${data.length} elements` : 'is missing', {
    file: `graph "${graph.name}"`,
    field: name,
    remedy: `Give a ${type.name} of ${count} elements`,
  });
}
