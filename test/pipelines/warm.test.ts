/** @file Kernels are asked for before they are needed and in the order in which they will be, once for every shape. */

import { expect, it } from 'vitest';
import { cpu, DiffusionPipeline, type BackendFactory } from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';

it('warms up text encoder, UNet and VAE, and none again where their programs are there', async () => {
  const opened = await cpu({ threads: 0 }).open();
  if ('reason' in opened) throw new Error(opened.reason);
  const warmed: string[] = [];
  const compiled: string[] = [];
  const spy: BackendFactory = {
    name: 'cpu',
    open: () =>
      Promise.resolve({
        ...opened,
        warm: ({ name }) => void warmed.push(name),
        compile(plan, options) {
          compiled.push(plan.name);
          return opened.compile(plan, options);
        },
      }),
  };
  const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), { backends: [spy] });
  const call = { prompt: 'a red apple', numInferenceSteps: 1, height: 32, width: 32, seed: 7 };
  await pipe(call);
  expect(warmed).toEqual(compiled);
  await pipe({ ...call, seed: 8 });
  expect(warmed).toHaveLength(compiled.length);
  await pipe.dispose();
});
