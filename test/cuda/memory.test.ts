/** @file What the CUDA backend says that it holds is what it holds, and budgets keep to it. The card is fake. */
import { expect, test } from 'vitest';
import { cudaFrom } from '../../native-cuda/src/cuda.ts';
import { DiffusionPipeline, OutOfMemoryError, type MemoryOption } from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';
import { FakeNative } from './fake-native.ts';

const MODEL = fixturePath('pipelines/tiny-sd');
const CALL = { prompt: 'fox', height: 64, width: 64, numInferenceSteps: 1, seed: 1 } as const;

async function open(memory?: MemoryOption) {
  const native = new FakeNative();
  const backends = [cudaFrom(() => Promise.resolve(native))];
  const pipe = await DiffusionPipeline.fromPretrained(MODEL, { backends, ...(memory && { memory }) });
  return { native, pipe };
}

/** The smallest budget that works, as the error for one that does not says. */
async function leastBudget(): Promise<number> {
  const { pipe } = await open({ budget: 1 });
  const error: unknown = await pipe(CALL).catch((reason: unknown) => reason);
  await pipe.dispose();
  if (!(error instanceof OutOfMemoryError)) throw new Error('the budget was enough', { cause: error });
  return Number(/(\d+) bytes or more/.exec(error.remedy)?.[1]);
}

test('bytes are those that the card gave, at their most and now', { timeout: 60_000 }, async () => {
  const { native, pipe } = await open();
  const { memory } = await pipe(CALL);
  expect(memory).toEqual({ peakDeviceBytes: native.mostBytes, peakHostBytes: 0 });
  expect(pipe.backend.memory!.deviceBytes).toBe(native.usedBytes);
  await pipe.dispose();
  expect([pipe.backend.memory!.deviceBytes, native.usedBytes]).toEqual([0, 0]);
});

test('a call keeps within its budget', { timeout: 60_000 }, async () => {
  const whole = await open();
  await whole.pipe(CALL);
  await whole.pipe.dispose();
  const budget = await leastBudget();
  expect(budget).toBeLessThan(whole.native.mostBytes);
  const { native, pipe } = await open({ budget });
  await pipe(CALL);
  expect(native.mostBytes).toBeLessThanOrEqual(budget);
  expect(native.mostBytes).toBeGreaterThan(0.9 * budget);
  await pipe.dispose();
});
