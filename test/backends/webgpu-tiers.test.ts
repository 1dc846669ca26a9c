/**
 * @file A whole UNet with every tier of the WebGPU backend forced, on emulated GPUs: halves and floats, with subgroups and
 * without, and subgroup matrices of both. The judge is the reference backend, which is held to diffusers elsewhere.
 */

import { describe, expect, it } from 'vitest';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { WebGpuProgram } from '../../src/backends/webgpu/program.ts';
import { bindGraph } from '../../src/graph/graph.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { buildUNet2DCondition } from '../../src/models/unet2d-condition.ts';
import { plan } from '../../src/plan/planner.ts';
import { EMULATED_ADAPTERS } from '../support/emulated-adapters.ts';
import { emulatedGpu } from '../support/emulated-gpu.ts';
import { nmse } from '../support/nmse.ts';
import { graphInputs, graphWeights } from '../support/random-graph-data.ts';

/** Small, with all that a UNet has: resnets, both attentions, gates, skips, both ways of changing size. */
const config = parseUNet2DConditionConfig(
  {
    _class_name: 'UNet2DConditionModel',
    sample_size: 4,
    in_channels: 4,
    out_channels: 4,
    layers_per_block: 1,
    block_out_channels: [8, 16],
    norm_num_groups: 4,
    attention_head_dim: [1, 2],
    cross_attention_dim: 8,
    down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
    up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
  },
  { file: 'test' },
);
const graph = bindGraph(buildUNet2DCondition(config), { batch: 1, height: 4, width: 4, tokens: 5 });
const [output] = graph.outputs;
const expected = evaluateGraph(graph, graphInputs(graph), graphWeights(graph));

const TIERS = [
  ['matrices 16x16x16 (NVIDIA)', 'f16', 'matrix'],
  ['matrices 8x8x8 of f32 (Apple)', 'f32', 'matrix'],
  ['f16 with subgroups', 'f16', 'tiled'],
  ['f16 without subgroups', 'f16', 'tiled'],
  ['f32 without subgroups', 'f32', 'tiled'],
] as const;

describe.each(TIERS)('%s, %s', (name, dtype, kernels) => {
  it('computes a UNet as the reference does', async () => {
    const on = await webgpu({
      gpu: emulatedGpu(EMULATED_ADAPTERS[name]),
      autotune: false,
      submitMs: Infinity,
    }).open();
    if ('reason' in on) throw new Error(on.reason);
    const planned = plan(graph, on.target(dtype));
    const used = new Set(planned.dispatches.map(({ kernel }) => kernel));
    expect(used).toContain(`gemm-${kernels}`);
    expect(used).toContain(`attention-${kernels}`);
    const program = await on.compile(planned, { weights: on.createWeights(graphWeights(graph)) });
    for (const [input, data] of graphInputs(graph)) program.write(input, data);
    if (program instanceof WebGpuProgram) program.poison();
    program.run();
    const error = nmse(await program.read(output.name), (await expected).get(output.name) ?? []);
    expect(error).toBeLessThan(dtype === 'f16' ? 1e-5 : 1e-11);
  });
});
