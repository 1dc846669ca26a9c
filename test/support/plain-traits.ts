/** @file What the plainest adapter offers, for tests that plan without one: no f16, subgroups or matrices, WebGPU's usual limits. */

import type { DeviceTraits } from '../../src/kernels/kernel.ts';

export const PLAIN_TRAITS: DeviceTraits = {
  software: false,
  f16: false,
  subgroupSize: 0,
  largestSubgroup: 0,
  subgroupMatrices: [],
  int8Matrix: false,
  packedDot: true,
  maxWorkgroupsPerDimension: 65535,
  maxWorkgroupStorageBytes: 32768,
  maxInvocationsPerWorkgroup: 256,
  maxBindingBytes: 1 << 27,
};
