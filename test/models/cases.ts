/** @file What diffusers and transformers computed with the small random networks of test/fixtures/models. */

import type { WeightReader } from '../../src/backends/backend.ts';
import { bindGraph, valueOf, type Graph } from '../../src/graph/graph.ts';
import { selectOutputs } from '../../src/models/select-outputs.ts';
import { toNhwc } from '../../src/tensor/layout.ts';
import type { Bindings } from '../../src/tensor/shape.ts';
import { addDerivedInputs, type Sample } from './derived-inputs.ts';
import { fixtureWeights, numbers, readJson, readTensors, type FileTensor } from './fixtures.ts';
import { networksOf } from './networks.ts';

/** One run of a network: its graph with concrete sizes, inputs, and expected outputs. */
export interface NetworkCase {
  readonly name: string;
  readonly graph: Graph;
  readonly reader: WeightReader;
  readonly inputs: ReadonlyMap<string, Float32Array | Int32Array>;
  readonly outputs: ReadonlyMap<string, Float32Array | Int32Array>;
}

function sampleOf(tensor: FileTensor): Sample {
  const data = numbers(tensor);
  const [batch, channels, height, width] = tensor.shape;
  if (tensor.shape.length === 4)
    return { shape: [batch, height, width, channels], data: toNhwc(data, [batch, channels, height, width]) };
  return { shape: tensor.shape, data: tensor.dtype === 'I32' ? Int32Array.from(data) : data };
}

/** Samples by the name of their run and their own. */
function samplesOf(network: string, wanted: 'in' | 'out'): Map<string, Map<string, Sample>> {
  const cases = new Map<string, Map<string, Sample>>();
  for (const [path, tensor] of readTensors(`models/${network}/cases.safetensors`)) {
    const [, name, side, value] = /^(.+?)\.(in|out)\.(.+)$/.exec(path) ?? ['', '', '', ''];
    if (side !== wanted) continue;
    const samples = cases.get(name) ?? new Map<string, Sample>();
    cases.set(name, samples.set(value, sampleOf(tensor)));
  }
  return cases;
}

/** Values of the graph's symbols, read off the inputs' shapes. */
function bindingsOf(graph: Graph, inputs: ReadonlyMap<string, Sample>): Bindings {
  const bindings: Record<string, number> = {};
  for (const { name, value } of graph.inputs)
    valueOf(graph, value).shape.forEach((dim, axis) => {
      const size = inputs.get(name)?.shape[axis];
      if (typeof dim !== 'number' && size !== undefined && /^\w+$/.test(dim.key)) bindings[dim.key] = size;
    });
  return bindings;
}

function dataOf(samples: ReadonlyMap<string, Sample>): Map<string, Float32Array | Int32Array> {
  return new Map([...samples].map(([name, { data }]) => [name, data]));
}

/** All runs of a network. */
export function networkCases(network: string): NetworkCase[] {
  const json = readJson(`models/${network}/config.json`);
  const { graphs, aliases } = networksOf(json);
  const { reader } = fixtureWeights(network, aliases);
  const expected = samplesOf(network, 'out');
  return [...samplesOf(network, 'in')].map(([name, inputs]) => {
    addDerivedInputs(inputs, json);
    const whole = graphs.find((graph) => graph.inputs.every((input) => inputs.has(input.name)));
    if (!whole) throw new Error(`no graph of ${network} has the inputs of ${name}`);
    const outputs = dataOf(expected.get(name) ?? new Map<string, Sample>());
    const graph = selectOutputs(bindGraph(whole, bindingsOf(whole, inputs)), [...outputs.keys()]);
    return { name, graph, reader, inputs: dataOf(inputs), outputs };
  });
}
