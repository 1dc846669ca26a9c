/** @file A page and its worker, here as the two ends of a message channel: what arrives is a structured clone. */
import { afterAll, expect, test } from 'vitest';
import { BackendUnavailableError, CalotypeError, FileFormatError, OptionError } from '../../src/errors.ts';
import { DiffusionPipeline } from '../../src/index.ts';
import { cpu } from '../../src/backends/cpu/cpu.ts';
import type { ProgressEvent } from '../../src/pipelines/progress.ts';
import type { WorkerStep } from '../../src/worker/protocol.ts';
import { rebuildError, sendError } from '../../src/worker/sent-error.ts';
import { STARTER } from '../support/fixtures.ts';
import { openWorker, pickedFolder } from '../support/worker.ts';

const OPTIONS = { prompt: 'a red apple', numInferenceSteps: 2, height: 64, width: 64, seed: 5 };

const { worker, close } = openWorker();
afterAll(close);

test('drawing without a model says so, in the class that the library throws', async () => {
  await expect(worker.draw(OPTIONS)).rejects.toThrow(OptionError);
});

test('a picture is the one that the library itself draws, with progress and previews', async () => {
  const progress: ProgressEvent[] = [];
  const loaded = await worker.load(
    await pickedFolder(STARTER),
    { backends: ['cpu'] },
    { onProgress: (event) => progress.push(event) },
  );
  expect(loaded).toMatchObject({
    className: 'StableDiffusionPipeline',
    backend: { name: 'cpu' },
    recommended: { numInferenceSteps: 20, guidanceScale: 4 },
  });
  const steps: WorkerStep[] = [];
  const scheduler = { name: 'euler', settings: { useKarrasSigmas: true } } as const;
  const { images, options } = await worker.draw(
    { ...OPTIONS, scheduler, previews: true },
    { onStep: (step) => steps.push(step), onProgress: (event) => progress.push(event) },
  );
  expect(steps.map(({ index, total }) => [index, total])).toEqual([
    [0, 2],
    [1, 2],
  ]);
  expect(steps[1]?.previews[0]).toMatchObject({ width: 8, height: 8 });
  expect(new Set(progress.map(({ phase }) => phase))).toContain('weights');
  expect(options.seed).toBe(5);

  const pipe = await DiffusionPipeline.fromPretrained(STARTER, { backends: [cpu()] });
  const { SCHEDULERS } = await import('../../src/schedulers/index.ts');
  pipe.scheduler = SCHEDULERS.euler.fromConfig(pipe.scheduler.config, { useKarrasSigmas: true });
  const own = await pipe(OPTIONS);
  await pipe.dispose();
  expect(images[0]?.data).toEqual(own.images[0]?.data);
});

test('a call that is aborted stops, and the next one runs', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const call = worker.draw(
    { ...OPTIONS, numInferenceSteps: 50 },
    { signal: controller.signal, onStep: () => controller.abort(reason) },
  );
  await expect(call).rejects.toBe(reason);
  expect((await worker.draw({ ...OPTIONS, numInferenceSteps: 1 })).images).toHaveLength(1);
});

test('every error arrives as what it was', () => {
  const details = { file: 'a.bin', field: 'x', remedy: 'Do this' };
  const sent = [
    new FileFormatError('is no model', details),
    new BackendUnavailableError('none works', {
      remedy: 'Try',
      attempts: [{ backend: 'webgpu', reason: 'r', remedy: 'm' }],
    }),
  ];
  for (const error of sent) {
    const rebuilt = rebuildError(structuredClone(sendError(error)));
    expect(rebuilt).toBeInstanceOf(CalotypeError);
    expect(rebuilt.constructor).toBe(error.constructor);
    expect(Object.entries(rebuilt)).toEqual(Object.entries(error));
    expect(rebuilt.message).toBe(error.message);
  }
  expect(rebuildError(sendError(new DOMException('stopped', 'AbortError')))).toMatchObject({
    name: 'AbortError',
    message: 'stopped',
  });
  expect(rebuildError(sendError(new RangeError('bug')))).toMatchObject({
    name: 'RangeError',
    message: 'bug',
  });
});
