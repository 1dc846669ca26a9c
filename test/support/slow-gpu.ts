/**
 * @file A software adapter that poses as a slow GPU of a desktop: it computes as it does, but by its own clock a launch takes
 * the time that the test says.
 */
import { vi } from 'vitest';

/** An entry point for `webgpu({ gpu })`. */
export interface SlowGpu {
  readonly gpu: GPU;
  /** Milliseconds of all submits with launches, in order. */
  readonly submits: number[];
}

/**
 * From now on performance.now() tells the slow adapter's time and no other.
 * @param gpu an entry point whose adapter computes
 * @param msOf milliseconds that a launch takes, by the label of its bind group and its workgroups
 */
export function slowGpu(gpu: GPU, msOf: (label: string, workgroups: number) => number): SlowGpu {
  const submits: number[] = [];
  const labels = new WeakMap<object, string>();
  let elapsed = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => elapsed);

  const watch = (device: GPUDevice): GPUDevice => {
    /** What is encoded and was not submitted: there is only one thread. */
    let encoded = 0;
    const createBindGroup = device.createBindGroup.bind(device);
    device.createBindGroup = (descriptor) => {
      const group = createBindGroup(descriptor);
      labels.set(group, descriptor.label ?? '');
      return group;
    };
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder(descriptor);
      const beginComputePass = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (of) => {
        const pass = beginComputePass(of);
        let label = '';
        const setBindGroup = pass.setBindGroup.bind(pass);
        pass.setBindGroup = (index: number, group: GPUBindGroup | null | undefined) => {
          label = labels.get(group ?? {}) ?? '';
          return setBindGroup(index, group);
        };
        const dispatch = pass.dispatchWorkgroups.bind(pass);
        pass.dispatchWorkgroups = (x, y = 1, z = 1) => {
          encoded += msOf(label, x * y * z);
          return dispatch(x, y, z);
        };
        return pass;
      };
      return encoder;
    };
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    queue.submit = (commands) => {
      if (encoded > 0) submits.push(encoded);
      elapsed += encoded;
      encoded = 0;
      return submit(commands);
    };
    return device;
  };

  const requestAdapter = async (): Promise<GPUAdapter | null> => {
    const adapter = await gpu.requestAdapter();
    if (!adapter) return null;
    const { limits } = adapter;
    return {
      // It has no clock of its own that could be asked.
      features: new Set<string>(),
      limits,
      info: { vendor: 'slow', architecture: '', device: '', description: '', isFallbackAdapter: false },
      requestDevice: async (wish: GPUDeviceDescriptor) => watch(await adapter.requestDevice(wish)),
    } as unknown as GPUAdapter;
  };
  const { wgslLanguageFeatures } = gpu;
  return { gpu: { wgslLanguageFeatures, requestAdapter } as unknown as GPU, submits };
}
