/**
 * @file Small random networks against what diffusers and transformers computed for them, on the reference
 * backend: op by op as the model files write them, and planned with every pass.
 */

import { describe, expect, it } from 'vitest';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { createReferenceBackend, REFERENCE_TARGET } from '../../src/backends/reference/reference.ts';
import { bindGraph, checkGraph } from '../../src/graph/graph.ts';
import { plan } from '../../src/plan/planner.ts';
import { nmse } from '../support/nmse.ts';
import { networkCases } from './cases.ts';
import { fixtureWeights, NETWORKS, readJson } from './fixtures.ts';
import { networksOf } from './networks.ts';

/** What torch's own float32 rounding leaves; a wrong epsilon or activation is far above. */
const BOUND = 1e-10;

describe.each(NETWORKS)('%s', (network) => {
  const { graphs, aliases } = networksOf(readJson(`models/${network}/config.json`));

  it('is well formed, with symbols and without', () => {
    for (const graph of graphs) {
      const bound = bindGraph(graph, { batch: 2, height: 24, width: 40, tokens: 9, timeIds: 6 });
      expect(() => checkGraph(graph)).not.toThrow();
      expect(() => checkGraph(bound)).not.toThrow();
    }
  });

  it.each(networkCases(network).map((entry) => [entry.name, entry] as const))(
    'computes %s',
    async (_name, { graph, reader, inputs, outputs }) => {
      const results = await evaluateGraph(graph, inputs, reader);

      const backend = createReferenceBackend();
      const program = await backend.compile(plan(graph, REFERENCE_TARGET), {
        weights: backend.createWeights(reader),
      });
      for (const [name, values] of inputs) program.write(name, values);
      program.run();

      for (const [name, expected] of outputs) {
        expect(nmse(results.get(name) ?? [], expected), `${name}, op by op`).toBeLessThan(BOUND);
        expect(nmse(await program.read(name), expected), `${name}, planned`).toBeLessThan(BOUND);
      }
    },
  );

  it('uses every tensor of the file', () => {
    const { reader, unused } = fixtureWeights(network, aliases);
    const names = new Set(
      graphs.flatMap((graph) => graph.weights.flatMap((weight) => weight.parts)).map((p) => p.name),
    );
    for (const name of names) reader.info(name);
    expect(unused()).toEqual([]);
  });
});
