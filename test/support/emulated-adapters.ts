/** @file GPUs to emulate, one for each tier of kernels, as their adapters describe themselves. */

import type { EmulatedGpu } from './emulated-gpu.ts';

const LANES_32 = { least: 32, most: 32, size: 32 };

const F16_TO_F32 = { componentType: 'f16', resultComponentType: 'f32' };

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
  'f16 with subgroups': { vendor: 'amd', f16: true, subgroups: LANES_32 },
  'f16 without subgroups': { vendor: 'amd', f16: true },
  'f32 with subgroups': { vendor: 'amd', f16: false, subgroups: LANES_32 },
  'f32 without subgroups': { vendor: 'amd', f16: false },
} as const satisfies Record<string, EmulatedGpu>;
