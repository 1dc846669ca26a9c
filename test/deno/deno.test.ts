/**
 * @file calotype in Deno, with the model read from its folder: WebGPU on lavapipe, Mesa's software driver, which offers
 * f16; and the CPU backend. Skipped by name where Deno or lavapipe is missing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundle, type Bundle } from '../support/bundle.ts';
import { startDeno, type DenoGuest } from '../support/deno.ts';
import { findExecutable, findLavapipe, firstMissing } from '../support/executables.ts';
import { STARTER } from '../support/fixtures.ts';
import { describeBackend, testGuest } from '../support/guest-tests.ts';

const deno = findExecutable('DENO', ['deno']);
const lavapipe = findLavapipe();
const manifest = 'path' in lavapipe ? lavapipe.path : '';

const BACKENDS = [
  {
    backend: 'webgpu',
    needs: [deno, lavapipe],
    // Older Vulkan loaders know the second name only.
    environment: { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest },
    description: 'llvmpipe',
    dtypes: ['f32', 'f16'],
    drawsIn: 'f16',
  },
  {
    backend: 'cpu',
    needs: [deno],
    environment: {},
    description: 'relaxed-simd',
    dtypes: ['f32'],
    drawsIn: 'f32',
  },
] as const;

for (const { backend, needs, environment, description, dtypes, drawsIn } of BACKENDS) {
  const missing = firstMissing(`${backend} in Deno`, ...needs);

  describe.skipIf(missing)(`${backend} in Deno${missing ? ` (skipped: ${missing})` : ''}`, () => {
    let program: Bundle;
    let guest: DenoGuest;

    beforeAll(async () => {
      if ('missing' in deno) throw new Error('this suite is skipped');
      program = await bundle('deno/program.ts');
      guest = startDeno(deno.path, program, [STARTER], environment);
    });

    afterAll(async () => {
      await guest.close();
      await program.remove();
    });

    test(`opens on ${description}, with ${dtypes.join(' and ')}`, async () => {
      const described = await describeBackend(guest.ask, backend);
      expect(described).toHaveProperty('dtypes', dtypes);
      expect(described).toHaveProperty('description', expect.stringContaining(description));
    });

    testGuest((question) => guest.ask(question), backend, dtypes, { model: () => STARTER, dtype: drawsIn });
  });
}
