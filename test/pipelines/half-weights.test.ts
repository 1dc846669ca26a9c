/** @file `dtype: 'f16'` where a device has no f16 arithmetic: weights in halves, everything else in f32. */

import { describe, expect, it } from 'vitest';
import { DiffusionPipeline, webgpu, type BackendFactory } from '../../src/index.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { fixturePath, openTensorFixture } from '../support/fixtures.ts';
import '../support/nmse.ts';

const opened = await webgpu({ adapter: 'any', traits: { f16: false } }).open();
const reason = 'reason' in opened ? `skipped: ${opened.reason}` : opened.description;

describe.skipIf('reason' in opened)(`weights in halves on ${reason}`, () => {
  it('draw as f32 does, since the file holds halves', async () => {
    if ('reason' in opened) return;
    const plans: Plan[] = [];
    const spy: BackendFactory = {
      name: 'webgpu',
      open: () =>
        Promise.resolve({
          ...opened,
          compile(plan, options) {
            plans.push(plan);
            return opened.compile(plan, options);
          },
        }),
    };
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [spy],
      dtype: 'f16',
    });
    const { latents } = await pipe({
      prompt: 'fox',
      height: 64,
      width: 64,
      numInferenceSteps: 3,
      guidanceScale: 1,
      seed: 4,
      outputType: 'latent',
    });
    await pipe.dispose();
    const expected = await openTensorFixture('pipelines/tiny-sd.safetensors');
    expect(latents!.data).toMatchNmse(expected.f32('no-cfg.latents'), 1e-6);

    for (const { dtype, values, weights } of plans) {
      expect(dtype).toBe('f32');
      for (const { value } of weights) {
        const { name, shape, dtype: held } = values.get(value)!;
        expect(held, name).toBe(shape.length > 1 ? 'f16' : 'f32');
      }
    }
    expect(plans.flatMap(({ weights }) => weights).length).toBeGreaterThan(50);
  }, 240_000);
});
