/** @file Whole runs against diffusers: same seed, same latents, on every backend that is present. */

import { afterAll, describe, expect, it } from 'vitest';
import {
  DiffusionPipeline,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
} from '../../src/index.ts';
import { presentBackends } from '../support/backends.ts';
import {
  finalLatents,
  readTextToImageFixture,
  TEXT_TO_IMAGE_MODELS,
  textToImageOptions,
} from '../support/text-to-image-cases.ts';
import '../support/nmse.ts';

const backends = await presentBackends();

/** The small models are drawn everywhere, the starter where it does not take minutes: on WebGPU its smallest picture only. */
function casesFor(backend: string, model: string, cases: readonly string[]): readonly string[] {
  return backend === 'webgpu' && model === 'starter' ? ['small'] : cases;
}

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  const models = TEXT_TO_IMAGE_MODELS.filter((model) => backend !== 'reference' || model !== 'starter');
  describe.each(models)('%s', async (model) => {
    const { folder, cases, expected } = await readTextToImageFixture(model);
    const pipe = await DiffusionPipeline.fromPretrained(folder, { backends: [factory], dtype: 'f32' });
    const own = pipe.scheduler;
    afterAll(() => pipe.dispose());

    it.each(casesFor(backend, model, Object.keys(cases)))(
      'draws "%s" as diffusers does',
      async (name) => {
        const spec = cases[name];
        const options = spec.scheduler?.options ?? {};
        pipe.scheduler =
          spec.scheduler?.class === 'EulerAncestralDiscreteScheduler'
            ? EulerAncestralDiscreteScheduler.fromConfig(own.config)
            : spec.scheduler?.class === 'DPMSolverMultistepScheduler'
              ? DPMSolverMultistepScheduler.fromConfig(own.config, {
                  useKarrasSigmas: options['use_karras_sigmas'] === true,
                })
              : own;
        const wantsImages = expected.names.includes(`${name}.images`);
        const { latents, np } = await pipe({
          ...textToImageOptions(spec),
          outputType: wantsImages ? 'np' : 'latent',
          returnLatents: true,
        });
        expect(latents!.data).toMatchNmse(finalLatents(expected, name, latents!.data.length), 1e-6);
        if (wantsImages) expect(np!.data).toMatchNmse(expected.f32(`${name}.images`), 1e-6);
      },
      240_000,
    );
  });
});
