/** @file Several cards in one process: a pipeline on each, a pipeline on both, and the list of them. The cards are fake. */
import { expect, test } from 'vitest';
import { cudaFrom, devicesFrom } from '../../native-cuda/src/cuda.ts';
import { DeviceLostError, DiffusionPipeline } from '../../src/index.ts';
import { fixturePath } from '../support/fixtures.ts';
import { cudaError, FAKE_CARD, FakeNative, FIRST_QUEUE } from './fake-native.ts';

const MODEL = fixturePath('pipelines/tiny-sd');
const CALL = { prompt: 'fox', height: 64, width: 64, numInferenceSteps: 1, seed: 1 } as const;
const [FIRST, SECOND] = [FIRST_QUEUE, FIRST_QUEUE + 1];

const OTHER_UUID = 'GPU-89ab0000-0000-4000-8000-00000000000f';

function twoCards() {
  const native = new FakeNative();
  native.cards = [FAKE_CARD, { ...FAKE_CARD, name: 'Fake H200', uuid: OTHER_UUID }];
  const on = (device: number | string) => cudaFrom(() => Promise.resolve(native), { device });
  return { native, on };
}

test('each card has a pipeline, which touches nothing of the other', { timeout: 60_000 }, async () => {
  const { native, on } = twoCards();
  const first = await DiffusionPipeline.fromPretrained(MODEL, { backends: [on(0)] });
  const second = await DiffusionPipeline.fromPretrained(MODEL, { backends: [on(1)] });
  expect(native.openedCards).toEqual([0, 1]);
  // At the same time; the fake throws where one card's work names the other's memory or graphs.
  await Promise.all([first(CALL), second(CALL)]);
  expect(native.usedBytesOf(SECOND)).toBe(native.usedBytesOf(FIRST));
  expect(native.recordedOn(SECOND)).toBe(native.recordedOn(FIRST));
  expect(native.recordedOn(FIRST)).toBeGreaterThan(100);
  await first.dispose();
  expect(native.usedBytesOf(FIRST)).toBe(0);
  await second(CALL);
  await second.dispose();
  expect(native.openQueues).toBe(0);
});

test('a pipeline has components on both', { timeout: 60_000 }, async () => {
  const { native, on } = twoCards();
  const [unet, rest] = [on(0), on(1)];
  const pipe = await DiffusionPipeline.fromPretrained(MODEL, {
    componentBackends: { unet, vae: rest, textEncoder: rest },
  });
  await pipe(CALL);
  expect(native.openedCards).toEqual([0, 1]);
  expect(pipe.componentBackends.vae.description).toMatch(/^Fake H200/);
  for (const queue of [FIRST, SECOND]) {
    expect(native.usedBytesOf(queue)).toBeGreaterThan(10_000);
    expect(native.recordedOn(queue)).toBeGreaterThan(10);
  }
  native.failures.set('idle', cudaError('cudaErrorIllegalAddress', 'cudaEventSynchronize'));
  await expect(pipe(CALL)).rejects.toBeInstanceOf(DeviceLostError);
  await pipe.dispose();
  expect(native.openQueues).toBe(0);
});

test.each([
  [OTHER_UUID, 1],
  [FAKE_CARD.uuid.toUpperCase().replace('GPU', 'MIG'), 0],
  ['GPU-89ab', 1],
  ['GPU-893', 0],
])('%s is a card', async (uuid, card) => {
  const { native, on } = twoCards();
  const opened = await on(uuid).open();
  expect(native.openedCards).toEqual([card]);
  expect('description' in opened && opened.description).toMatch(['Fake H100', 'Fake H200'][card]);
});

test.each([
  ['GPU-89', 'several cards are GPU-89', /more of the UUID/],
  ['GPU-0', 'there is no card GPU-0: CUDA sees 0 (GPU-8932', /one of these/],
])('%s is none: %s', async (uuid, reason, remedy) => {
  const { native, on } = twoCards();
  const opened = await on(uuid).open();
  expect('reason' in opened && opened.reason).toContain(reason);
  expect('remedy' in opened && opened.remedy).toMatch(remedy);
  expect(native.openedCards).toEqual([]);
});

test('all cards are listed', async () => {
  const { native } = twoCards();
  const list = () => devicesFrom(() => Promise.resolve(native));
  expect(await list()).toMatchObject([
    { device: 0, name: 'Fake H100', uuid: FAKE_CARD.uuid, totalBytes: FAKE_CARD.totalBytes },
    { device: 1, name: 'Fake H200', uuid: OTHER_UUID },
  ]);
  native.failures.set('deviceCount', cudaError('cudaErrorNoDevice', 'cudaGetDeviceCount'));
  expect(await list()).toMatchObject({ reason: 'the driver sees no NVIDIA card' });
  native.driver = 0;
  expect(await list()).toMatchObject({ reason: 'there is no NVIDIA driver (libcuda.so.1)' });
});
