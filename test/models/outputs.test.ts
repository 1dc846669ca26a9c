/**
 * @file Small random networks against what diffusers and transformers computed for them, on the reference
 * backend: op by op as the model files write them, and planned with every pass.
 */

import { describe, expect, it } from 'vitest';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { createReferenceBackend, REFERENCE_TARGET } from '../../src/backends/reference/reference.ts';
import { bindGraph, checkGraph, valueOf, type Graph } from '../../src/graph/graph.ts';
import { selectOutputs } from '../../src/models/select-outputs.ts';
import { plan } from '../../src/plan/planner.ts';
import { toNhwc } from '../../src/tensor/layout.ts';
import type { Bindings } from '../../src/tensor/shape.ts';
import { nmse } from '../support/nmse.ts';
import { addDerivedInputs, type Sample } from './derived-inputs.ts';
import { fixtureWeights, NETWORKS, numbers, readJson, readTensors, type FileTensor } from './fixtures.ts';
import { networksOf } from './networks.ts';

/** What torch's own float32 rounding leaves; a wrong epsilon or activation is far above. */
const BOUND = 1e-10;

/** Inputs and expected outputs of one run. */
interface Case {
  readonly name: string;
  readonly inputs: Map<string, Sample>;
  readonly outputs: Map<string, Sample>;
}

function sampleOf(tensor: FileTensor): Sample {
  const data = numbers(tensor);
  const [batch, channels, height, width] = tensor.shape;
  if (tensor.shape.length === 4)
    return { shape: [batch, height, width, channels], data: toNhwc(data, [batch, channels, height, width]) };
  return { shape: tensor.shape, data: tensor.dtype === 'I32' ? Int32Array.from(data) : data };
}

function casesOf(network: string): Case[] {
  const cases = new Map<string, Case>();
  for (const [path, tensor] of readTensors(`models/${network}/cases.safetensors`)) {
    const [, name, side, value] = /^(.+?)\.(in|out)\.(.+)$/.exec(path) ?? ['', '', '', ''];
    const entry = cases.get(name) ?? {
      name,
      inputs: new Map<string, Sample>(),
      outputs: new Map<string, Sample>(),
    };
    (side === 'in' ? entry.inputs : entry.outputs).set(value, sampleOf(tensor));
    cases.set(name, entry);
  }
  return [...cases.values()];
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

describe.each(NETWORKS)('%s', (network) => {
  const json = readJson(`models/${network}/config.json`);
  const { graphs, aliases } = networksOf(json);
  const { reader, unused } = fixtureWeights(network, aliases);

  it('is well formed, with symbols and without', () => {
    for (const graph of graphs) {
      const bound = bindGraph(graph, { batch: 2, height: 24, width: 40, tokens: 9, timeIds: 6 });
      expect(() => checkGraph(graph)).not.toThrow();
      expect(() => checkGraph(bound)).not.toThrow();
    }
  });

  it.each(casesOf(network).map((entry) => [entry.name, entry] as const))(
    'computes %s',
    async (_name, entry) => {
      addDerivedInputs(entry.inputs, json);
      const { inputs, outputs } = entry;
      const whole = graphs.find((graph) => graph.inputs.every(({ name }) => inputs.has(name)));
      if (!whole) throw new Error('no graph has these inputs');
      const graph = selectOutputs(bindGraph(whole, bindingsOf(whole, inputs)), [...outputs.keys()]);
      const data = new Map([...inputs].map(([name, sample]) => [name, sample.data]));

      const results = await evaluateGraph(graph, data, reader);

      const backend = createReferenceBackend();
      const program = await backend.compile(plan(graph, REFERENCE_TARGET), {
        weights: backend.createWeights(reader),
      });
      for (const [name, values] of data) program.write(name, values);
      program.run();

      for (const [name, expected] of outputs) {
        expect(nmse(results.get(name) ?? [], expected.data), `${name}, op by op`).toBeLessThan(BOUND);
        expect(nmse(await program.read(name), expected.data), `${name}, planned`).toBeLessThan(BOUND);
      }
    },
  );

  it('uses every tensor of the file', () => {
    const names = new Set(
      graphs.flatMap((graph) => graph.weights.flatMap((weight) => weight.parts)).map((p) => p.name),
    );
    for (const name of names) reader.info(name);
    expect(unused()).toEqual([]);
  });
});
