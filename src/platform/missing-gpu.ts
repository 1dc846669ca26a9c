/** @file Why a runtime with no Dawn has no GPU to give, and what to do about it. */

import type { Missing } from './gpu.ts';

/** What there is not. */
export const MISSING_GPU = {
  choice: {
    reason: 'programs cannot choose a GPU by its name here',
    remedy: 'Leave adapterName out, and use powerPreference',
  },
  adapter: {
    reason: 'WebGPU is there, but offers no adapter',
    remedy: 'Update the GPU driver, or turn on hardware acceleration; chrome://gpu says what is blocked',
  },
  webgpu: {
    reason: 'this runtime has no navigator.gpu',
    remedy: 'Use a browser with WebGPU over https or localhost, Deno, or Node with the package webgpu',
  },
  own: {
    reason: 'the given GPU object offers no adapter',
    remedy: 'Check its options and the GPU driver',
  },
} as const satisfies Record<string, Missing>;
