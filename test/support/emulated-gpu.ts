/**
 * @file A GPU in TypeScript, for tests: it computes WGSL with f16, subgroups and subgroup matrices of any shape, which no
 * software adapter offers. It emulates what the WebGPU backend uses and no more, without any of WebGPU's checks of
 * arguments (Dawn's null backend has those, see test/kernels/wgsl.test.ts), but with stricter memory: see wgsl/memory.ts.
 *
 * What it does not tell: how fast anything is, how hardware rounds sums in matrices, and what drivers do wrong.
 */

import { compileShader, type CompiledShader } from './wgsl/compile.ts';
import { runDispatch, type BoundRange } from './wgsl/dispatch.ts';
import type { MatrixConfig } from './wgsl/scope.ts';

/** What the GPU is like. */
export interface EmulatedGpu {
  readonly vendor: string;
  readonly f16: boolean;
  /** Sizes that subgroups may have, and the one that they have; absent: no subgroups. */
  readonly subgroups?: { readonly least: number; readonly most: number; readonly size: number };
  readonly matrices?: readonly MatrixConfig[];
  /** 32 KiB if nothing is said. */
  readonly workgroupBytes?: number;
  /** Changes shaders before they are compiled: tests break kernels, to see that it is found out. */
  readonly edit?: (code: string) => string;
}

const LIMITS = {
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 30,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupsPerDimension: 65_535,
  minStorageBufferOffsetAlignment: 256,
  minUniformBufferOffsetAlignment: 256,
};

class EmulatedBuffer implements Partial<GPUBuffer> {
  readonly size: number;
  readonly bytes: ArrayBuffer;

  constructor(size: number) {
    this.size = size;
    this.bytes = new ArrayBuffer(size);
  }

  async mapAsync(): Promise<undefined> {}

  /** All of it is the memory itself, for what the host writes. */
  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    return size === this.size ? this.bytes : this.bytes.slice(offset, offset + size);
  }

  unmap(): undefined {}

  destroy(): undefined {}
}

function emulated(buffer: GPUBuffer | GPUBindingResource): EmulatedBuffer {
  if (buffer instanceof EmulatedBuffer) return buffer;
  throw new TypeError('a buffer is of another device');
}

interface EmulatedPipeline {
  readonly shader: CompiledShader;
}

interface EmulatedBindGroup {
  readonly ranges: ReadonlyMap<number, BoundRange>;
}

/** An entry point for `webgpu({ gpu })`. */
export function emulatedGpu(wish: EmulatedGpu): GPU {
  const adapter = emulatedAdapter(wish);
  return {
    wgslLanguageFeatures: new Set<string>(),
    requestAdapter: () => Promise.resolve(adapter),
  } as unknown as GPU;
}

function emulatedAdapter(wish: EmulatedGpu): GPUAdapter {
  const { vendor, f16, subgroups, matrices = [], workgroupBytes = 32_768 } = wish;
  const features = new Set([
    ...(f16 ? ['shader-f16'] : []),
    ...(subgroups ? ['subgroups'] : []),
    ...(matrices.length > 0 ? ['chromium-experimental-subgroup-matrix'] : []),
  ]);
  const limits = { ...LIMITS, maxComputeWorkgroupStorageSize: workgroupBytes };
  const info = {
    vendor,
    architecture: '',
    device: '',
    description: 'emulated',
    isFallbackAdapter: false,
    ...(subgroups ? { subgroupMinSize: subgroups.least, subgroupMaxSize: subgroups.most } : {}),
    ...(matrices.length > 0 ? { subgroupMatrixConfigs: matrices } : {}),
  };
  const device = emulatedDevice(wish, features, limits);
  return {
    info,
    features,
    limits,
    requestDevice: () => Promise.resolve(device),
  } as unknown as GPUAdapter;
}

function emulatedDevice(
  { subgroups, matrices = [], edit = (code) => code }: EmulatedGpu,
  features: ReadonlySet<string>,
  limits: typeof LIMITS & { readonly maxComputeWorkgroupStorageSize: number },
): GPUDevice {
  const compile = (code: string): CompiledShader => {
    const shader = compileShader(edit(code), { features, matrices });
    const bytes = shader.variables.reduce((sum, variable) => sum + Math.ceil(variable.bytes / 16) * 16, 0);
    if (bytes > limits.maxComputeWorkgroupStorageSize)
      throw new RangeError(`${bytes} bytes of workgroup memory`);
    if (shader.lanes > limits.maxComputeInvocationsPerWorkgroup)
      throw new RangeError(`${shader.lanes} lanes`);
    if (shader.usesMatrices && shader.lanes % (subgroups?.most ?? 1) !== 0)
      throw new RangeError('with matrices, workgroups are whole subgroups of the largest size');
    return shader;
  };
  const device = {
    features,
    limits,
    lost: new Promise(() => undefined),
    pushErrorScope: () => undefined,
    popErrorScope: () => Promise.resolve(null),
    destroy: () => undefined,
    createBuffer: ({ size }: GPUBufferDescriptor) => new EmulatedBuffer(size),
    createShaderModule: ({ code }: GPUShaderModuleDescriptor) => ({ code }),
    createPipelineLayout: () => ({}),
    createBindGroupLayout: () => ({}),
    createComputePipelineAsync: async ({ compute }: { compute: { module: { code: string } } }) => {
      await Promise.resolve();
      return { shader: compile(compute.module.code) };
    },
    createBindGroup: ({ entries }: GPUBindGroupDescriptor): EmulatedBindGroup => ({
      ranges: new Map([...entries].map(({ binding, resource }) => [binding, rangeOf(resource)])),
    }),
    createCommandEncoder: () => new EmulatedEncoder(subgroups?.size ?? 1),
    queue: {
      writeBuffer(
        buffer: GPUBuffer,
        at: number,
        data: GPUAllowSharedBufferSource,
        first = 0,
        count?: number,
      ) {
        const view = ArrayBuffer.isView(data);
        const width = view && 'BYTES_PER_ELEMENT' in data ? Number(data.BYTES_PER_ELEMENT) : 1;
        const source = view
          ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
          : new Uint8Array(data);
        const end = count === undefined ? source.length : (first + count) * width;
        new Uint8Array(emulated(buffer).bytes).set(source.subarray(first * width, end), at);
      },
      submit(commands: readonly { run(): void }[]) {
        for (const command of commands) command.run();
      },
      onSubmittedWorkDone: () => Promise.resolve(),
    },
  };
  return device as unknown as GPUDevice;
}

function rangeOf(resource: GPUBindingResource): BoundRange {
  if (!('buffer' in resource)) throw new TypeError('only buffers can be bound');
  const { buffer, offset = 0, size } = resource;
  const { bytes } = emulated(buffer);
  return { buffer: bytes, offset, size: size ?? bytes.byteLength - offset };
}

/** Keeps commands until they are submitted. */
class EmulatedEncoder {
  readonly #commands: (() => void)[] = [];
  readonly #subgroupSize: number;

  constructor(subgroupSize: number) {
    this.#subgroupSize = subgroupSize;
  }

  beginComputePass(): object {
    let shader: CompiledShader | undefined;
    let ranges: ReadonlyMap<number, BoundRange> | undefined;
    return {
      setPipeline: (pipeline: EmulatedPipeline) => ({ shader } = pipeline),
      setBindGroup: (_index: number, group: EmulatedBindGroup) => ({ ranges } = group),
      dispatchWorkgroups: (x: number, y: number, z: number) => {
        const [current, bound] = [shader, ranges];
        if (!current || !bound) throw new Error('a dispatch needs a pipeline and a bind group');
        this.#commands.push(() => runDispatch(current, bound, [x, y, z], this.#subgroupSize));
      },
      end: () => undefined,
    };
  }

  copyBufferToBuffer(from: GPUBuffer, at: number, to: GPUBuffer, into: number, size: number): void {
    this.#commands.push(() =>
      new Uint8Array(emulated(to).bytes).set(new Uint8Array(emulated(from).bytes, at, size), into),
    );
  }

  finish(): { run(): void } {
    return {
      run: () => {
        for (const command of this.#commands) command();
      },
    };
  }
}
