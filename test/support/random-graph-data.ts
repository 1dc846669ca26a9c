/** @file Deterministic inputs and weights for any graph with concrete shapes. */

import type { WeightReader } from '../../src/backends/backend.ts';
import { valueOf, type Graph } from '../../src/graph/graph.ts';
import { concrete } from '../../src/tensor/shape.ts';
import { fillInput, indices, matrix, state, vector, type CaseInput } from '../cases/case.ts';

/** Data for every input of a graph; i32 inputs count up from 0, wrapping at `rows`. */
export function graphInputs(graph: Graph, rows = 2): Map<string, Float32Array | Int32Array> {
  return new Map(
    graph.inputs.map(({ name, value }) => {
      const { shape, dtype } = valueOf(graph, value);
      const spec: CaseInput =
        dtype === 'i32' ? indices(concrete(shape), rows) : { ...state(concrete(shape)), dtype };
      return [name, fillInput(`${graph.name}/${name}`, spec)];
    }),
  );
}

/** Weights of a graph, by the names of its stored tensors. */
export function graphWeights(graph: Graph): WeightReader {
  const shapes = new Map(graph.weights.flatMap(({ parts }) => parts.map(({ name, shape }) => [name, shape])));
  const shapeOf = (name: string): readonly number[] => {
    const shape = shapes.get(name);
    if (!shape) throw new RangeError(`no weight ${name}`);
    return shape;
  };
  return {
    info: (name) => ({ dtype: 'F32', shape: shapeOf(name), file: 'random' }),
    read: (name) => {
      const shape = shapeOf(name);
      const spec = shape.length > 1 ? matrix(shape) : vector(shape[0] ?? 1, name.endsWith('weight') ? 1 : 0);
      return Promise.resolve(new Uint8Array(fillInput(name, spec).buffer));
    },
  };
}
