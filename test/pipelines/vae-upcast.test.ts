/** @file `vaeUpcast: 'overflow'`: what of a VAE is in f32, and pictures against diffusers; tests of Deno draw them in f16. */

import { describe, expect, it } from 'vitest';
import { createTarget } from '../../src/backends/webgpu/target.ts';
import { DiffusionPipeline, reference, type Backend } from '../../src/index.ts';
import { holdSumsWide } from '../../src/graph/wide-sums.ts';
import { bindGraph, checkGraph } from '../../src/graph/graph.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../../src/models/autoencoder-kl.ts';
import { plan } from '../../src/plan/planner.ts';
import { FUSIONS } from '../../src/plan/target.ts';
import { readJson } from '../models/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import { ALL_KERNELS } from '../support/kernels.ts';
import { PLAIN_TRAITS } from '../support/plain-traits.ts';
import { testCases } from '../support/drawn/test-drawn.ts';
import { vaeUpcastCases } from '../support/drawn/vae-upcast.ts';
import { fixturePath } from '../support/fixtures.ts';

/** Without f16 nothing is in halves but weights; tests of Deno draw them with it. */
testCases(
  (await presentBackends()).filter(({ name }) => name !== 'webgpu'),
  vaeUpcastCases,
  (backend, name) => backend === 'cpu' || name === 'encode',
);

describe('what is in f32', () => {
  const config = parseAutoencoderKLConfig(readJson('pipelines/tiny-sdxl/vae/config.json'), { file: 'vae' });
  const target = createTarget('f16', {
    traits: { ...PLAIN_TRAITS, f16: true },
    limits: { alignment: 256, maxBindingBytes: 1 << 27, maxBufferBytes: 1 << 28 },
    policy: { kernels: ALL_KERNELS, without: new Set(), tuned: new Map() },
    fusions: new Set(FUSIONS),
  });

  it.each([
    ['decoder', buildAutoencoderKLDecoder(config)],
    ['encoder', buildAutoencoderKLEncoder(config)],
  ])('of the %s: sums, not weights, nor what norms and attention give', (name, graph) => {
    const wide = bindGraph(holdSumsWide(graph), { batch: 1, height: 16, width: 16 });
    checkGraph(wide);
    const { dispatches, values, weights } = plan(wide, target);
    for (const { value } of weights) expect(values.get(value)!.dtype).toBe('f16');
    const types = dispatches.map(({ node }) => {
      const { dtype } = values.get(node.output)!;
      return `${node.kind} ${dtype}`;
    });
    const small = ['groupNorm f16', 'attention f16', 'linear f16'];
    const sums = ['conv2d f32', 'linear f32', ...(name === 'encoder' ? ['sliceChannels f32'] : [])];
    expect(new Set(types)).toEqual(new Set([...small, ...sums]));
    // Convolutions read halves, but for those that read the residual stream itself.
    const halves = dispatches.filter(
      ({ node }) => node.kind === 'conv2d' && values.get(node.inputs.x)!.dtype === 'f16',
    );
    expect(halves.length).toBeGreaterThan(12);
  });
});

describe('refusing', () => {
  it('backends whose kernels keep to one type', async () => {
    const opened = await reference().open();
    if ('reason' in opened) throw new Error(opened.reason);
    const strict: Backend = {
      ...opened,
      dtypes: ['f16'],
      target: (dtype) => ({ ...opened.target('f32'), dtype }),
    };
    const load = DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sdxl'), {
      backends: [{ name: 'strict', open: () => Promise.resolve(strict) }],
      vaeUpcast: 'overflow',
    });
    await expect(load).rejects.toMatchObject({ field: 'vaeUpcast' });
    await expect(load).rejects.toThrow(/bf16/);
  });
});
