/** @file Finds an adapter and opens a device on it, or says why it cannot. */

import type { BackendAttempt } from '../../errors.ts';
import { later } from '../../later.ts';
import type { DeviceTraits } from '../../kernels/kernel.ts';
import { findGpu, missingGpu } from '../../platform/gpu.ts';
import { kernelsFor } from '../../kernels/index.ts';
import { describeAdapter, isSoftware, OpenDevice, readTraits, SUBGROUP_MATRIX } from './device.ts';
import type { Refusal } from './refused-adapter.ts';

/** Options of `webgpu`. */
export interface WebGpuOptions {
  /** The WebGPU entry point; default: the page's or Deno's `navigator.gpu`, or Dawn (npm `webgpu`) in Node. */
  readonly gpu?: GPU;
  /** Which adapters are taken: GPUs only (default), those that compute on the CPU only, or either. */
  readonly adapter?: 'hardware' | 'software' | 'any';
  /**
   * Which of several GPUs: a part of the name that Dawn knows it by, in Node. Pages and Deno have no choice but that of
   * `powerPreference`.
   */
  readonly adapterName?: string;
  /** Default `high-performance`. */
  readonly powerPreference?: 'high-performance' | 'low-power';
  /** Dawn's toggles, when this library creates the entry point in Node; see platform/dawn-settings.ts; default `native`. */
  readonly toggles?: readonly string[];
  /** Fusions, and kernels by their ids, that shall not be used, so that what they gain can be measured. */
  readonly without?: { readonly fusions?: readonly string[]; readonly kernels?: readonly string[] };
  /** Whether bind groups and uniforms are made once, when a plan is compiled, and not for every run (true). */
  readonly recorded?: boolean;
  /**
   * `dynamic`: linear layers that run at every step and are wide enough are computed on signed bytes, with scales found
   * row by row as they run. That changes pictures a little (see passes/int8.ts), so it is never done unasked.
   */
  readonly int8?: 'dynamic';
  /**
   * Whether kernels are measured where nothing is known of how fast they run: for 4 seconds in all (or so many), before
   * plans are made. Rows are kept, in the user's cache folder or the page's own file system. By default on GPUs that the library
   * ships no rows for.
   */
  readonly autotune?: boolean | { readonly seconds: number };
  /**
   * The most milliseconds of work that the device gets at once, as far as that can be foreseen: drivers of desktops reset
   * devices that are held for 2 seconds, and screens stand still meanwhile. Default 500 on GPUs; no limit on software
   * adapters. What is computed does not depend on it.
   */
  readonly submitMs?: number;
  /**
   * Whose memory buffers are in that the host writes to: with a budget of memory, weights are held there if it is the host's.
   * Default: measured when a budget is first given.
   */
  readonly mappedMemory?: 'host' | 'device';
  /** What kernels are told of the device instead of the truth: tests run the kernels of GPUs on software adapters. */
  readonly traits?: Partial<DeviceTraits>;
}

/** Features that kernels use where they are offered. */
const WANTED_FEATURES: ReadonlySet<string> = new Set([
  'shader-f16',
  'subgroups',
  'timestamp-query',
  SUBGROUP_MATRIX,
]);

/** Limits that are asked for at their largest. */
const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

function isWanted(feature: string): feature is GPUFeatureName {
  return WANTED_FEATURES.has(feature);
}

/** Opens a device; a BackendAttempt says why there is none. */
export async function acquireDevice(options: WebGpuOptions = {}): Promise<OpenDevice | BackendAttempt> {
  const { adapter: kind = 'hardware' } = options;
  const found = options.gpu
    ? { gpu: options.gpu, noAdapter: () => missingGpu('own') }
    : await findGpu(options);
  if ('reason' in found) return { backend: 'webgpu', ...found };
  let adapter: GPUAdapter | null;
  try {
    adapter = await findAdapter(found.gpu, options);
  } catch (error) {
    // Dawn lists the adapters where it has none of that name.
    const reason = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').trim();
    return { backend: 'webgpu', reason, remedy: 'Give a part of the name of one of these as adapterName' };
  }
  if (!adapter) return { backend: 'webgpu', ...(await found.noAdapter()) };
  const name = describeAdapter(adapter.info);
  const refuse = async (refusal: Refusal, cause?: unknown): Promise<BackendAttempt> =>
    (await later('refused GPUs', () => import('./refused-adapter.ts'))).refusedAdapter(refusal, name, cause);
  if (/null.?backend/i.test(name)) return refuse('computes nothing');
  const software = isSoftware(adapter.info);
  if (kind === 'hardware' && software) return refuse('is software');
  if (kind === 'software' && !software) return refuse('is a GPU');
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      label: 'calotype',
      requiredFeatures: [...adapter.features].filter(isWanted),
      requiredLimits: Object.fromEntries(WANTED_LIMITS.map((limit) => [limit, adapter.limits[limit]])),
    });
  } catch (cause) {
    return refuse('gives no device', cause);
  }
  const traits = { ...readTraits(device, adapter.info, found.gpu), ...options.traits };
  if (options.int8 && !traits.packedDot && !traits.int8Matrix) {
    device.destroy();
    return refuse('has no int8');
  }
  try {
    const { int8, without } = options;
    const kernels = await kernelsFor({
      traits,
      int8: int8 !== undefined,
      without: without?.kernels ?? [],
    });
    return new OpenDevice(device, adapter.info, found.gpu, { traits, kernels }, options.submitMs);
  } catch (error) {
    device.destroy();
    throw error;
  }
}

async function findAdapter(gpu: GPU, options: WebGpuOptions): Promise<GPUAdapter | null> {
  const { adapter: kind = 'hardware', powerPreference = 'high-performance' } = options;
  const plain = (): Promise<GPUAdapter | null> => gpu.requestAdapter({ powerPreference });
  if (kind === 'hardware') return plain();
  const fallback = (): Promise<GPUAdapter | null> => gpu.requestAdapter({ forceFallbackAdapter: true });
  return kind === 'software'
    ? ((await fallback()) ?? (await plain()))
    : ((await plain()) ?? (await fallback()));
}
