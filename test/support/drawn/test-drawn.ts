/** @file The tests that draw the cases of a fixture on backends of this process. */
import { afterAll, describe, expect, it } from 'vitest';
import type { PresentBackend } from '../backends.ts';
import type { DrawnCases } from './drawn-cases.ts';
import { sharedBackend } from '../shared-backend.ts';
import '../nmse.ts';

/** Drawing on software adapters takes long. */
const TIMEOUT = 240_000;

/**
 * Cases named `MODEL.CASE`, with a pipeline a model.
 * @param isRunOn which cases a backend draws
 */
export function testModels(
  backends: readonly PresentBackend[],
  cases: DrawnCases,
  isRunOn: (backend: string, model: string, name: string) => boolean,
): void {
  const models = new Map<string, string[]>();
  for (const full of cases.names) {
    const dot = full.indexOf('.');
    const model = full.slice(0, dot);
    models.set(model, [...(models.get(model) ?? []), full.slice(dot + 1)]);
  }
  const runsOn = (backend: string) =>
    [...models]
      .map(([model, names]) => ({ model, names: names.filter((name) => isRunOn(backend, model, name)) }))
      .filter(({ names }) => names.length > 0);
  // A suite without tests is a failure.
  const asked = backends.filter(({ name }) => runsOn(name).length > 0);
  describe.each(asked)('on $name', ({ name: backend, factory: own }) => {
    const factory = sharedBackend(own);
    afterAll(() => factory.dispose());
    describe.each(runsOn(backend))('$model', async ({ model, names }) => {
      const pipe = await cases.open(`${model}.${names[0]}`, { factory, dtype: 'f32' });
      afterAll(() => pipe.dispose());
      it.each(names)(
        'draws "%s" as diffusers does',
        async (name) => {
          const { shape, data } = await cases.draw(pipe, `${model}.${name}`);
          const expected = cases.expected(`${model}.${name}`);
          expect(shape).toEqual(expected.shape);
          expect(data).toMatchNmse(expected.data, 1e-6);
        },
        TIMEOUT,
      );
    });
  });
}

/** Cases with a pipeline each. */
export function testCases(
  backends: readonly PresentBackend[],
  cases: DrawnCases,
  isRunOn: (backend: string, name: string) => boolean,
): void {
  describe.each([...backends])('on $name', ({ name: backend, factory: own }) => {
    const factory = sharedBackend(own);
    afterAll(() => factory.dispose());
    it.each(cases.names.filter((name) => isRunOn(backend, name)))(
      'draws "%s" as diffusers does',
      async (name) => {
        const pipe = await cases.open(name, { factory, dtype: 'f32' });
        try {
          const { shape, data } = await cases.draw(pipe, name);
          const expected = cases.expected(name);
          expect(shape).toEqual(expected.shape);
          expect(data).toMatchNmse(expected.data, 1e-6);
        } finally {
          await pipe.dispose();
        }
      },
      TIMEOUT,
    );
  });
}
