/** @file GPUs to emulate, one for each tier of kernels, as their adapters describe themselves. */

import type { EmulatedGpu } from './emulated-gpu.ts';

const LANES_32 = { least: 32, most: 32, size: 32 };

const F16_TO_F32 = { componentType: 'f16', resultComponentType: 'f32' };

const INTEL = { vendor: 'intel', f16: true, matrices: [{ ...F16_TO_F32, M: 8, N: 16, K: 16 }] };

/** By the tier that they show. */
export const EMULATED_ADAPTERS = {
  'matrices 16x16x16 (NVIDIA)': {
    vendor: 'nvidia',
    f16: true,
    subgroups: LANES_32,
    matrices: [
      { ...F16_TO_F32, M: 16, N: 16, K: 16 },
      { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 },
    ],
    workgroupBytes: 49_152,
  },
  'matrices 8x8x8 of f32 (Apple)': {
    vendor: 'apple',
    f16: true,
    subgroups: LANES_32,
    matrices: [
      { componentType: 'f16', resultComponentType: 'f16', M: 8, N: 8, K: 8 },
      { componentType: 'f32', resultComponentType: 'f32', M: 8, N: 8, K: 8 },
    ],
  },
  'matrices 8x8x8 of f16': {
    vendor: 'apple',
    f16: true,
    subgroups: LANES_32,
    matrices: [{ ...F16_TO_F32, M: 8, N: 8, K: 8 }],
  },
  'matrices 8x16x16, 16 lanes (Intel)': { ...INTEL, subgroups: { least: 8, most: 32, size: 16 } },
  'matrices 8x16x16, 8 lanes (Intel)': { ...INTEL, subgroups: { least: 8, most: 32, size: 8 } },
  'matrices 8x16x16, 32 lanes (Intel)': { ...INTEL, subgroups: { least: 8, most: 32, size: 32 } },
  'f16 with subgroups': { vendor: 'amd', f16: true, subgroups: LANES_32 },
  'f16 without subgroups': { vendor: 'amd', f16: true },
  'f32 with subgroups': { vendor: 'amd', f16: false, subgroups: LANES_32 },
  'f32 without subgroups': { vendor: 'amd', f16: false },
} as const satisfies Record<string, EmulatedGpu>;
