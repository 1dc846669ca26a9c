/** @file The WebGPU backend: browsers, Deno, and Node through Dawn. */

import type { Backend, BackendFactory } from '../backend.ts';
import { acquireDevice, type WebGpuOptions } from './acquire.ts';
import { compileProgram } from './compile.ts';
import type { OpenDevice } from './device.ts';
import { createTarget } from './target.ts';
import { WebGpuWeights } from './weights.ts';

/** The WebGPU backend as a factory; see `WebGpuOptions`. It takes GPUs only, unless told otherwise. */
export function webgpu(options: WebGpuOptions = {}): BackendFactory {
  return {
    name: 'webgpu',
    async open({ signal } = {}) {
      signal?.throwIfAborted();
      const device = await acquireDevice(options);
      return 'reason' in device ? device : createBackend(device);
    },
  };
}

function createBackend(device: OpenDevice): Backend {
  return {
    name: 'webgpu',
    description: device.description,
    dtypes: device.traits.f16 ? ['f32', 'f16'] : ['f32'],
    target: (dtype) => createTarget(dtype, device.traits, device.limits),
    createWeights: (reader) => new WebGpuWeights(device, reader),
    compile: (plan, compileOptions) => compileProgram(device, plan, compileOptions),
    async idle() {
      device.check();
      await device.gpu.queue.onSubmittedWorkDone();
      device.check();
    },
    dispose: () => device.destroy(),
  };
}
