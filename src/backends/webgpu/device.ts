/**
 * @file An open device: what it can do, and its errors made typed.
 *
 * WebGPU reports errors late and out of line. Objects are made inside `scoped`, which waits for the verdict; what
 * goes wrong in a run is remembered and thrown by the next `check`.
 */

import { DeviceLostError, KernelError, OutOfMemoryError, type CalotypeError } from '../../errors.ts';
import type { DeviceTraits, Kernel } from '../../kernels/kernel.ts';
import { INT8_SHAPE, MATRIX_SHAPES, type MatrixShape } from '../../kernels/matrix-shape.ts';
import { LESS_MEMORY } from '../../out-of-memory.ts';
import { ByteMeter, type MemoryKind } from '../byte-meter.ts';
import { meterBuffers } from './metered.ts';
import { Pace, SUBMIT_MS } from './pace.ts';
import type { MemoryLimits } from './target.ts';
import type { WorkOrder } from './work-order.ts';

const AT_ONCE: OpenDevice['order'] = {
  isWaiting: false,
  do: (work) => void work(),
  after: (work) => work(),
};

/** A device in use by a backend, its programs and its weights. */
export class OpenDevice {
  readonly gpu: GPUDevice;
  readonly description: string;
  /** As the adapter names it: `nvidia`. */
  readonly vendor: string;
  readonly architecture: string;
  /** Whether it computes on the CPU. */
  readonly isSoftware: boolean;
  readonly traits: DeviceTraits;
  /** What it can run, in order of preference. */
  readonly kernels: readonly Kernel[];
  readonly limits: MemoryLimits;
  readonly uniformAlignment: number;
  /** Whether dispatches can be timed on the device. */
  readonly hasTimestamps: boolean;
  /** What keeps the device alive: Dawn aborts the process when the GPU object it came from is collected. */
  readonly origin: GPU;
  /** Bytes of its buffers. */
  readonly meter = new ByteMeter();
  /** How fast it was. */
  readonly pace: Pace;
  /** Of all that runs and what is written for it: as it comes, until streamed weights have to be waited for. */
  order: Pick<WorkOrder, 'isWaiting' | 'do' | 'after'> = AT_ONCE;
  /** Whose memory buffers are in that the host writes to, as far as is known; see device-memory.ts. */
  mappedMemory: MemoryKind = 'host';
  #failure: CalotypeError | undefined;

  /**
   * @param submitMs the most milliseconds of work that it gets at once; nothing watches over what runs on the CPU
   */
  constructor(
    gpu: GPUDevice,
    info: GPUAdapterInfo,
    origin: GPU,
    { traits, kernels }: Pick<OpenDevice, 'traits' | 'kernels'>,
    submitMs = isSoftware(info) ? Infinity : SUBMIT_MS,
  ) {
    this.gpu = gpu;
    this.origin = origin;
    meterBuffers(this);
    this.description = describeAdapter(info);
    this.vendor = info.vendor;
    this.architecture = info.architecture;
    this.isSoftware = isSoftware(info);
    this.pace = new Pace(submitMs);
    this.traits = traits;
    this.kernels = kernels;
    this.limits = {
      alignment: gpu.limits.minStorageBufferOffsetAlignment,
      maxBindingBytes: gpu.limits.maxStorageBufferBindingSize,
      maxBufferBytes: gpu.limits.maxBufferSize,
    };
    this.uniformAlignment = gpu.limits.minUniformBufferOffsetAlignment;
    this.hasTimestamps = gpu.features.has('timestamp-query');
    gpu.onuncapturederror = ({ error }) => {
      this.fail(typedError(error, 'a run'));
    };
    void gpu.lost.then(({ reason, message }) => {
      this.#failure = new DeviceLostError(
        `the GPU device was lost (${reason || 'unknown'}${message ? `: ${message}` : ''})`,
        {
          field: this.description,
          remedy:
            'Open the backend again; if it happens again, use a smaller size or batch, or another adapter',
        },
      );
    });
  }

  /** Remembers what went wrong where nobody waits for it. */
  fail(error: CalotypeError): void {
    this.#failure ??= error;
  }

  /** Throws what went wrong since the device was opened: DeviceLostError, OutOfMemoryError or KernelError. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /**
   * Makes WebGPU objects and waits until the device has accepted them.
   * @param what what they are for, in errors: `weight "conv_in.weight"`.
   * @throws OutOfMemoryError or KernelError naming `what`, DeviceLostError.
   */
  async scoped<T>(what: string, make: () => T): Promise<T> {
    this.check();
    for (const filter of ['validation', 'out-of-memory', 'internal'] as const)
      this.gpu.pushErrorScope(filter);
    let result: { readonly value: T } | { readonly thrown: unknown };
    try {
      result = { value: make() };
    } catch (thrown) {
      result = { thrown };
    }
    const errors = await Promise.all([0, 1, 2].map(() => this.gpu.popErrorScope()));
    this.check();
    const error = errors.find((found) => found !== null);
    if (error) throw typedError(error, what);
    if ('value' in result) return result.value;
    // Mapping a buffer at creation throws a RangeError when there is no memory for it.
    if (result.thrown instanceof RangeError) throw outOfMemory(what, result.thrown.message, result.thrown);
    throw result.thrown;
  }

  /** Frees the device and everything on it. */
  destroy(): void {
    this.gpu.destroy();
  }
}

function outOfMemory(what: string, message: string, cause: unknown): OutOfMemoryError {
  return new OutOfMemoryError(`the device has not enough memory for ${what}: ${message}`, {
    remedy: `${LESS_MEMORY}, or load the model with a 16-bit dtype`,
    cause,
  });
}

function typedError(error: GPUError, what: string): CalotypeError {
  if (error.constructor.name === 'GPUOutOfMemoryError') return outOfMemory(what, error.message, error);
  return new KernelError(`the device refused ${what}: ${error.message}`, {
    remedy: 'This is a bug in a kernel or in the driver: report it with the output of "calotype doctor"',
    cause: error,
  });
}

/** For people: vendor, model and driver, as far as the adapter tells. */
export function describeAdapter({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  const parts = [vendor, device || architecture, description].filter((part) => part !== '');
  return [...new Set(parts)].join(', ') || 'an unnamed adapter';
}

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(describeAdapter(info));
}

/** What kernels may know of a device. */
export function readTraits(
  gpu: GPUDevice,
  info: GPUAdapterInfo,
  { wgslLanguageFeatures }: GPU,
): DeviceTraits {
  const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = info;
  return {
    // llvmpipe computes on the CPU too, but takes the kernels of GPUs better than SwiftShader's.
    software: isSoftware(info) && !/llvmpipe/i.test(describeAdapter(info)),
    f16: gpu.features.has('shader-f16'),
    subgroupSize: gpu.features.has('subgroups') && least === most ? least : 0,
    largestSubgroup: gpu.features.has('subgroups') ? most : 0,
    subgroupMatrices: MATRIX_SHAPES.filter((shape) => hasMatrix(gpu, info, shape)),
    int8Matrix: hasMatrix(gpu, info, INT8_SHAPE),
    packedDot: hasFeature(wgslLanguageFeatures, 'packed_4x8_integer_dot_product'),
    maxWorkgroupsPerDimension: gpu.limits.maxComputeWorkgroupsPerDimension,
    maxWorkgroupStorageBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    maxInvocationsPerWorkgroup: gpu.limits.maxComputeInvocationsPerWorkgroup,
    maxBindingBytes: gpu.limits.maxStorageBufferBindingSize,
  };
}

/** Dawn's feature, not yet in the standard. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

function hasFeature(features: ReadonlySet<string>, name: string): boolean {
  return features.has(name);
}

/** Whether the adapter lists matrices of a shape (`subgroupMatrixConfigs`, Dawn's extension). */
function hasMatrix(
  gpu: GPUDevice,
  info: GPUAdapterInfo,
  { elements, rows, columns, depth }: MatrixShape,
): boolean {
  const configs: unknown = Reflect.get(info, 'subgroupMatrixConfigs');
  if (!hasFeature(gpu.features, SUBGROUP_MATRIX) || !Array.isArray(configs)) return false;
  const wanted = {
    componentType: elements,
    resultComponentType: elements === 'i8' ? 'i32' : 'f32',
    M: rows,
    N: columns,
    K: depth,
  };
  return configs.some(
    (config: unknown) =>
      typeof config === 'object' &&
      config !== null &&
      Object.entries(wanted).every(([key, value]) => Reflect.get(config, key) === value),
  );
}
