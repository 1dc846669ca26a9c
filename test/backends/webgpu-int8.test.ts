/**
 * @file `webgpu({ int8: 'dynamic' })`: marked layers compute what rounding both sides to signed bytes gives, in the kernels of
 * software adapters and of GPUs; other layers are left alone; and adapters that cannot do it say so.
 */

import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { plan } from '../../src/plan/planner.ts';
import { graphInputs, graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

const open = (traits: object = {}) =>
  webgpu({ adapter: 'any', int8: 'dynamic', autotune: false, traits }).open();

const opened = await open();
const where = 'reason' in opened ? `skipped: ${opened.reason}. ${opened.remedy}` : opened.description;
if (!('reason' in opened)) opened.dispose();

const ROWS = 5;
const CHANNELS = 640;
const OUTPUTS = 704;

/** A layer that pays, with a bias and a residual. */
function layer(rate: 'latent' | 'prompt' = 'latent'): Graph {
  const b = new GraphBuilder('layer');
  const x = b.input('x', [1, ROWS, CHANNELS], 'float', rate);
  const residual = b.input('residual', [1, ROWS, OUTPUTS], 'float', rate);
  b.output('y', b.add(b.linear(x, 'fc', { channels: OUTPUTS }), residual, 'sum'));
  return b.build();
}

async function run(on: Backend, graph: Graph): Promise<{ y: Float32Array; kernels: string[] }> {
  const weights = on.createWeights(graphWeights(graph));
  const program = await on.compile(plan(graph, on.target('f32')), { weights });
  for (const [name, data] of graphInputs(graph)) program.write(name, data);
  program.run();
  const y = await program.read('y');
  program.dispose();
  weights.dispose();
  return { y, kernels: program.plan.dispatches.map(({ kernel }) => kernel) };
}

/** Rows as whole numbers up to 127, and what they are multiplied by. */
function quantized(values: ArrayLike<number>, length: number): { whole: Float64Array; scales: Float64Array } {
  const whole = new Float64Array(values.length);
  const scales = new Float64Array(values.length / length);
  for (let row = 0; row < scales.length; row++) {
    const own = Array.from({ length }, (_, k) => values[row * length + k]);
    scales[row] = Math.max(...own.map(Math.abs)) / 127;
    own.forEach((value, k) => (whole[row * length + k] = Math.round(value / scales[row])));
  }
  return { whole, scales };
}

/** The layer on whole numbers. */
async function expectedOf(graph: Graph): Promise<Float32Array> {
  const read = async (name: string): Promise<Float32Array> => {
    const bytes = await graphWeights(graph).read(name);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  };
  const inputs = graphInputs(graph);
  const [x, residual] = [inputs.get('x')!, inputs.get('residual')!];
  const [left, right] = [quantized(x, CHANNELS), quantized(await read('fc.weight'), CHANNELS)];
  const bias = await read('fc.bias');
  return Float32Array.from({ length: ROWS * OUTPUTS }, (_, i) => {
    const [row, column] = [Math.floor(i / OUTPUTS), i % OUTPUTS];
    let sum = 0;
    for (let k = 0; k < CHANNELS; k++)
      sum += left.whole[row * CHANNELS + k] * right.whole[column * CHANNELS + k];
    return sum * left.scales[row] * right.scales[column] + bias[column] + residual[i];
  });
}

describe.skipIf('reason' in opened)(`int8 on ${where}`, () => {
  it.each([
    ['software adapters', {}],
    ['GPUs', { software: false }],
  ])('multiplies whole numbers in the kernels of %s', async (_which, traits) => {
    const on = await open(traits);
    if ('reason' in on) throw new Error(on.reason);
    const graph = layer();
    const { y, kernels } = await run(on, graph);
    on.dispose();
    expect(kernels).toEqual(['gemm-int8']);
    // A value half way between two whole numbers may go either way. Rounding itself costs a hundred times as much.
    expect(y).toMatchNmse(await expectedOf(graph), 1e-6);
  });

  it('leaves layers alone that do not run at every step, and reports the others', async () => {
    const on = await open();
    if ('reason' in on) throw new Error(on.reason);
    const report = (graph: Graph) => plan(graph, on.target('f32')).passes.find(({ pass }) => pass === 'int8');
    expect(report(layer())).toMatchObject({ applied: 1, refused: {} });
    expect(report(layer('prompt'))).toMatchObject({
      applied: 0,
      refused: { 'it does not run at every step': 1 },
    });
    on.dispose();
  });

  it('is refused by adapters that cannot multiply bytes', async () => {
    const refused = await open({ packedDot: false });
    expect('reason' in refused && refused.reason).toContain('packed');
  });
});
