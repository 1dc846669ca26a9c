/** @file Every published model's graph asks for exactly the tensors that diffusers expects, name by name. */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkGraph, type Graph, type StoredTensor } from '../../src/graph/graph.ts';
import { networksOf } from './networks.ts';
import { readJson, TENSOR_LISTS } from './fixtures.ts';

function storedTensors(graphs: readonly Graph[]): StoredTensor[] {
  const tensors = graphs.flatMap((graph) => graph.weights.flatMap((weight) => weight.parts));
  return [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()];
}

describe('tensors of published models', () => {
  it.each(Object.keys(TENSOR_LISTS))('%s', (model) => {
    const { graphs } = networksOf(readJson(`configs/${model}/config.json`));
    for (const graph of graphs) checkGraph(graph);
    const tensors = storedTensors(graphs);
    const lines = tensors.map(({ name, shape }) => `${name} ${shape.join(',')}`).sort();
    expect({
      tensors: tensors.length,
      parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      sha256: createHash('sha256').update(lines.join('\n')).digest('hex'),
    }).toEqual(TENSOR_LISTS[model]);
  });
});
