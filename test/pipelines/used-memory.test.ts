/** @file What calls of two passes tell of memory: the most of both, on all backends. */

import { expect, test } from 'vitest';
import { largerMemory, type CallMemory } from '../../src/pipelines/memory/used-memory.ts';

const memory = (peakDeviceBytes: number, peakHostBytes: number) => ({ peakDeviceBytes, peakHostBytes });
const call = (device: number, host: number, other: number): CallMemory => ({
  memory: memory(device, host),
  otherMemory: [{ backend: 'cpu', components: ['vae'], ...memory(other, 0) }],
});

test('the larger of two passes counts, each by itself', () => {
  expect(largerMemory(call(1, 4, 9), call(2, 3, 5))).toEqual(call(2, 4, 9));
  expect(largerMemory(call(2, 3, 5), call(1, 4, 9))).toEqual(call(2, 4, 9));
  expect(largerMemory({}, {})).toEqual({});
});
