/**
 * @file A GPU that computes nothing and counts memory as a driver does under Dawn: what is destroyed is free once what was
 * submitted next is done, and buffers under 4 MiB take powers of two. What its buffers hold is lost, but for zeros.
 */

const POOLED_BYTES = 4 * 2 ** 20;

/** An entry point for `webgpu({ gpu })`, and what it counted. */
export interface CountingGpu {
  readonly gpu: GPU;
  /** Bytes in use, and the most that there were. */
  bytes: number;
  peakBytes: number;
}

/** A card as NVIDIA's are. */
export function countingGpu(): CountingGpu {
  const counted = { bytes: 0, peakBytes: 0 };
  /** Bytes that are free once a submit is done: those before the last submit, and since. */
  let leaving = 0;
  let left = 0;
  let isWorkPending = false;

  function createBuffer({ size, usage }: GPUBufferDescriptor) {
    const isMapped = (usage & 3) !== 0;
    const bytes = isMapped ? 0 : size >= POOLED_BYTES ? size : 2 ** Math.ceil(Math.log2(size));
    counted.bytes += bytes;
    counted.peakBytes = Math.max(counted.peakBytes, counted.bytes);
    let isThere = true;
    return {
      size,
      destroy() {
        if (isThere) left += bytes;
        isThere = false;
      },
      mapAsync: () => Promise.resolve(),
      unmap: () => undefined,
      getMappedRange: (_offset = 0, length = size) => new ArrayBuffer(length),
    };
  }

  const queue = {
    writeBuffer: () => void (isWorkPending = true),
    submit(commands: readonly unknown[]) {
      if (!isWorkPending && commands.length === 0) return;
      leaving += left;
      left = 0;
      isWorkPending = false;
    },
    onSubmittedWorkDone() {
      counted.bytes -= leaving;
      leaving = 0;
      return Promise.resolve();
    },
  };

  function entryPoint(): GPU {
    const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} };
    const encoder = { beginComputePass: () => pass, copyBufferToBuffer() {}, finish: () => ({}) };
    const device = {
      features: FEATURES,
      limits: LIMITS,
      lost: new Promise(() => undefined),
      pushErrorScope() {},
      popErrorScope: () => Promise.resolve(null),
      destroy() {},
      createBuffer,
      createShaderModule: () => ({}),
      createPipelineLayout: () => ({}),
      createBindGroupLayout: () => ({}),
      createBindGroup: () => ({}),
      createComputePipelineAsync: () => Promise.resolve({}),
      createCommandEncoder: () => encoder,
      queue,
    };
    const adapter = {
      info: INFO,
      features: FEATURES,
      limits: LIMITS,
      requestDevice: () => Promise.resolve(device),
    };
    // Only what the backend uses.
    return {
      wgslLanguageFeatures: new Set<string>(),
      requestAdapter: () => Promise.resolve(adapter),
    } as unknown as GPU;
  }

  return Object.assign(counted, { gpu: entryPoint() });
}

const FEATURES: ReadonlySet<string> = new Set(['shader-f16', 'subgroups']);

const LIMITS = {
  maxBufferSize: 2 ** 31,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupsPerDimension: 65_535,
  maxComputeWorkgroupStorageSize: 49_152,
  minStorageBufferOffsetAlignment: 32,
  minUniformBufferOffsetAlignment: 64,
};

const INFO = {
  vendor: 'nvidia',
  architecture: 'hopper',
  device: '',
  description: 'a GPU that counts',
  isFallbackAdapter: false,
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
};
