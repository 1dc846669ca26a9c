/**
 * @file calotype in Deno, with the model read from its folder: WebGPU on lavapipe, Mesa's software driver, which offers
 * f16; and the CPU backend. Skipped by name where Deno or lavapipe is missing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundle, type Bundle } from '../support/bundle.ts';
import { startDeno, type DenoGuest } from '../support/deno.ts';
import { findExecutable, findLavapipe, firstMissing, type Found } from '../support/executables.ts';
import { FIXTURES_ENVIRONMENT, fixturePath, STARTER } from '../support/fixtures.ts';
import { describeBackend, testFloat16Cases, testGuest, type Drawing } from '../support/guest-tests.ts';

const deno = findExecutable('DENO', ['deno']);
const lavapipe = findLavapipe();
const manifest = 'path' in lavapipe ? lavapipe.path : '';

/** What differs in the graph or in the tables, and the starter where that does not take minutes. */
const DRAWN = {
  'tiny-sd': ['clip-skip', 'two-images', 'no-cfg'],
  'tiny-sdxl': ['cfg', 'batch', 'no-cfg'],
} as const;

function tinyDrawings(dtype: Drawing['dtype']): Drawing[] {
  return (['tiny-sd', 'tiny-sdxl'] as const).map((model) => ({
    model,
    folder: () => fixturePath(`pipelines/${model}`),
    cases: DRAWN[model],
    dtype,
  }));
}

const BACKENDS: readonly {
  readonly backend: string;
  readonly needs: readonly Found[];
  readonly environment: Readonly<Record<string, string>>;
  /** What its description names. */
  readonly description: string;
  readonly dtypes: readonly Drawing['dtype'][];
  readonly drawings: readonly Drawing[];
}[] = [
  {
    backend: 'webgpu',
    needs: [deno, lavapipe],
    // Older Vulkan loaders know the second name only.
    environment: { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest },
    description: 'llvmpipe',
    dtypes: ['f32', 'f16'],
    drawings: tinyDrawings('f16'),
  },
  {
    backend: 'cpu',
    needs: [deno],
    environment: {},
    description: 'relaxed-simd',
    dtypes: ['f32'],
    drawings: [
      ...tinyDrawings('f32'),
      { model: 'starter', folder: () => STARTER, cases: ['small'], dtype: 'f32' },
    ],
  },
];

for (const { backend, needs, environment, description, dtypes, drawings } of BACKENDS) {
  const missing = firstMissing(`${backend} in Deno`, ...needs);

  describe.skipIf(missing)(`${backend} in Deno${missing ? ` (skipped: ${missing})` : ''}`, () => {
    let program: Bundle;
    let guest: DenoGuest;

    beforeAll(async () => {
      if ('missing' in deno) throw new Error('this suite is skipped');
      program = await bundle('deno/program.ts', 'deno');
      guest = startDeno(deno.path, program, [STARTER, fixturePath('')], {
        ...environment,
        ...FIXTURES_ENVIRONMENT,
      });
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

    testGuest((question) => guest.ask(question), backend, dtypes, drawings);
    if (dtypes.includes('f16')) testFloat16Cases((question) => guest.ask(question), backend);
  });
}
