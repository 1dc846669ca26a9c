/** @file The WebGPU backend: browsers, Deno, and Node through Dawn. */

import { OptionError } from '../../errors.ts';
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
    target(dtype) {
      if (dtype === 'f16' && !device.traits.f16)
        throw new OptionError(`${device.description} has no shader-f16`, {
          field: 'dtype',
          remedy:
            'Use f32 (on NVIDIA cards, Chrome wants --enable-dawn-features=vulkan_enable_f16_on_nvidia)',
        });
      return createTarget(dtype, device.traits, device.limits);
    },
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
