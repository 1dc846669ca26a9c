/** @file The CUDA backend: NVIDIA cards from Ampere on, in Node and Deno on Linux. */

import { OptionError, type BackendAttempt } from 'calotype';
import type { Backend, BackendFactory } from 'calotype/backend-kit';
import { compileProgram } from './compile.ts';
import { demandOf } from './demand.ts';
import { OpenDevice } from './device.ts';
import { OLDEST_DRIVER } from './failure.ts';
import { isHopper, type Precision } from './kernel.ts';
import { LAUNCH_TYPES } from './kernels/index.ts';
import { attempt, cacheDirectory, loadLibrary } from './library.ts';
import { failureOf, type DeviceInfo, type NativeCuda } from './native.ts';
import { createTarget } from './target.ts';
import { TileTuner } from './tile-tuner.ts';
import { CudaWeights } from './weights.ts';

/** Options of `cuda`. */
export interface CudaOptions {
  /**
   * The card: its number, as CUDA counts those that CUDA_VISIBLE_DEVICES lets it see, or its UUID or an unambiguous beginning
   * of it, which other programs' cards and the order of slots do not change: `GPU-8932f937`. Default: 0.
   */
  readonly device?: number | string;
  /**
   * `dynamic`: linear layers that run at every step and are wide enough are computed on signed bytes, with scales found
   * row by row as they run: an NMSE of about 1e-4 each. That changes pictures a little, so it is never done unasked.
   */
  readonly int8?: 'dynamic';
  /** The same layers on eight-bit floats (e4m3), which are less exact (2e-3) and reach further; on Hopper. */
  readonly fp8?: 'dynamic';
  /**
   * `f16`: linear layers and convolutions of networks in f16 sum 128 products at a time in f16, and only those sums in f32,
   * which GeForce cards do twice as fast: an NMSE of up to 3e-7 each in place of 1e-7, and sums beyond 65504 overflow. Not on
   * Hopper, which is no faster so. Default: f32.
   */
  readonly accumulate?: 'f16';
  /**
   * Whether tiles are timed on the card for sizes that the shipped table does not know: some milliseconds each, once, and kept
   * in `~/.cache/calotype`. Default: true.
   */
  readonly autotune?: boolean;
}

/** A card that CUDA sees. */
export interface CudaDevice extends DeviceInfo {
  /** What `CudaOptions.device` takes, as it takes `uuid`. */
  readonly device: number;
}

/** The cards that CUDA sees, or why it sees none. */
export async function cudaDevices(): Promise<readonly CudaDevice[] | BackendAttempt> {
  return devicesFrom(loadLibrary);
}

/** The same with another native half, for tests. */
export async function devicesFrom(
  load: () => Promise<NativeCuda | BackendAttempt>,
): Promise<readonly CudaDevice[] | BackendAttempt> {
  const native = await load();
  if ('reason' in native) return native;
  const driver = native.driverVersion();
  if (driver === 0) return noDriver();
  try {
    return listDevices(native);
  } catch (error) {
    return whyNotOpened(error, driver, native.runtimeVersion());
  }
}

function listDevices(native: NativeCuda): CudaDevice[] {
  return Array.from({ length: native.deviceCount() }, (_, device) => ({
    device,
    ...native.deviceInfo(device),
  }));
}

/** What options ask for. */
interface Settings {
  readonly device: number | string;
  readonly precision: Precision;
  readonly autotune: boolean;
}

/** A UUID or its beginning, of a card or of an instance of one (MIG), as CUDA_VISIBLE_DEVICES takes them. */
const UUID = /^(?:GPU|MIG)-([\da-f][\da-f-]*)$/i;

/** Cards before Ampere have no kernels here: asynchronous copies and bfloat16 come with it. */
const OLDEST_MAJOR = 8;

/** The CUDA backend as a factory; see `CudaOptions`. Where there is no driver or card, it says so when it is opened. */
export function cuda(options: CudaOptions = {}): BackendFactory {
  return cudaFrom(loadLibrary, options, cacheDirectory());
}

/** The factory with another native half and cache, for tests. */
export function cudaFrom(
  load: () => Promise<NativeCuda | BackendAttempt>,
  options: CudaOptions = {},
  cache?: string,
): BackendFactory {
  const settings = readOptions(options);
  return {
    name: 'cuda',
    async open({ signal } = {}) {
      signal?.throwIfAborted();
      const native = await load();
      return 'reason' in native ? native : openBackend(native, settings, cache);
    },
  };
}

function readOptions({
  device = 0,
  int8,
  fp8,
  accumulate,
  autotune = true,
  ...others
}: CudaOptions): Settings {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new OptionError('is no option of the CUDA backend', {
      field: unknown,
      remedy: 'Use device, int8, fp8, accumulate or autotune',
    });
  if (typeof device === 'string' ? !UUID.test(device) : !(Number.isInteger(device) && device >= 0))
    throw new OptionError(`${JSON.stringify(device)} is neither the number of a card nor its UUID`, {
      field: 'device',
      remedy: 'Give 0 for the first card, a UUID as `nvidia-smi -L` lists them, or leave it out',
    });
  for (const [field, value] of Object.entries({ int8, fp8 }))
    if (value !== undefined && value !== 'dynamic')
      throw new OptionError(`${String(value)} is no way to compute on eight bits`, {
        field,
        remedy: "Give 'dynamic', or leave it out",
      });
  if (accumulate !== undefined && accumulate !== 'f16')
    throw new OptionError(`${String(accumulate)} is nothing that sums can be kept in`, {
      field: 'accumulate',
      remedy: "Give 'f16', or leave it out for f32",
    });
  if (typeof autotune !== 'boolean')
    throw new OptionError(`${String(autotune)} is neither true nor false`, {
      field: 'autotune',
      remedy: 'Give one of them, or leave it out',
    });
  if (int8 && fp8)
    throw new OptionError('cannot be had together with int8', { field: 'fp8', remedy: 'Give one of them' });
  return { device, precision: { eightBits: int8 ? 'int8' : fp8 && 'fp8', accumulate }, autotune };
}

function openBackend(
  native: NativeCuda,
  { device: wanted, precision, autotune }: Settings,
  cache: string | undefined,
): Backend | BackendAttempt {
  const driver = native.driverVersion();
  if (driver === 0) return noDriver();
  let info: DeviceInfo;
  let queue: number;
  try {
    const found = findDevice(listDevices(native), wanted);
    if ('reason' in found) return found;
    info = found;
    if (info.major < OLDEST_MAJOR)
      return attempt(
        `${info.name} has compute capability ${info.major}.${info.minor}, and kernels are built for ${OLDEST_MAJOR}.0 and later`,
        'Use webgpu on this card',
      );
    if (precision.eightBits === 'fp8' && !isHopper(info))
      return attempt(
        `${info.name} has compute capability ${info.major}.${info.minor}, and kernels for fp8 are built for 9.0`,
        "Use int8: 'dynamic' in its place, or leave fp8 out",
      );
    if (precision.accumulate === 'f16' && isHopper(info))
      return attempt(
        `${info.name} is no faster with sums in f16, and has no kernels for them`,
        'Leave accumulate out',
      );
    queue = native.openQueue(found.device);
  } catch (error) {
    return whyNotOpened(error, driver, native.runtimeVersion());
  }
  const mismatch = mismatchOf(native);
  if (mismatch !== undefined) {
    native.closeQueue(queue);
    return attempt(
      mismatch,
      'Install versions of @calotype/cuda and its platform package that belong together',
    );
  }
  const device = new OpenDevice(native, queue, info);
  return createBackend(device, driver, precision, autotune ? new TileTuner(device, cache) : undefined);
}

/** The card that is wanted, or why it is none. */
function findDevice(cards: readonly CudaDevice[], wanted: number | string): CudaDevice | BackendAttempt {
  const found = cards.filter(({ device, uuid }) =>
    typeof wanted === 'number' ? device === wanted : digitsOf(uuid).startsWith(digitsOf(wanted)),
  );
  if (found.length === 1) return found[0];
  const list = cards.map(({ device, uuid }) => `${device} (${uuid})`).join(', ');
  return found.length === 0
    ? attempt(
        `there is no card ${wanted}: CUDA sees ${list || 'none'}`,
        'Give one of these, or set CUDA_VISIBLE_DEVICES',
      )
    : attempt(`several cards are ${wanted}: CUDA sees ${list}`, 'Give more of the UUID');
}

function digitsOf(uuid: string): string {
  return (UUID.exec(uuid)?.[1] ?? uuid).toLowerCase();
}

function noDriver(): BackendAttempt {
  return attempt(
    'there is no NVIDIA driver (libcuda.so.1)',
    `Install driver ${OLDEST_DRIVER} or later if there is an NVIDIA card; else use webgpu or cpu`,
  );
}

function whyNotOpened(error: unknown, driver: number, runtime: number): BackendAttempt {
  const failure = failureOf(error);
  if (!failure) throw error;
  switch (failure.cuda) {
    case 'cudaErrorInsufficientDriver':
    case 'cudaErrorCallRequiresNewerDriver':
    case 'cudaErrorCompatNotSupportedOnDevice':
      return attempt(
        `the NVIDIA driver is too old: it knows CUDA ${version(driver)}, and ${version(runtime)} is needed`,
        `Update it to ${OLDEST_DRIVER} or later`,
      );
    case 'cudaErrorNoDevice':
      return attempt(
        'the driver sees no NVIDIA card',
        'Check `nvidia-smi`, CUDA_VISIBLE_DEVICES, and that a container was started with the card',
      );
    case 'cudaErrorDevicesUnavailable':
    case 'cudaErrorMemoryAllocation':
      return attempt(
        `the card is busy (${failure.cuda})`,
        'End other programs on it (`nvidia-smi` lists them), or name another card with the option device',
      );
    default:
      return attempt(
        `${failure.operation} failed with ${failure.cuda}`,
        'Check the driver with `nvidia-smi`, and restart the machine',
      );
  }
}

/** 13000 as 13.0. */
function version(number: number): string {
  return `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
}

/** What both halves do not agree on. */
function mismatchOf(native: NativeCuda): string | undefined {
  const sizes = new Map(native.kernels().map(({ name, argsBytes }) => [name, argsBytes]));
  const different = LAUNCH_TYPES.find(({ name, bytes }) => sizes.get(name) !== bytes);
  return different && `its library does not have the kernel ${different.name} as this version calls it`;
}

function createBackend(
  device: OpenDevice,
  driver: number,
  precision: Precision,
  tuner: TileTuner | undefined,
): Backend {
  const { name, major, minor } = device.info;
  return {
    name: 'cuda',
    description: `${name}, compute capability ${major}.${minor}, driver for CUDA ${version(driver)}`,
    dtypes: ['f32', 'f16', 'bf16'],
    target: (dtype) => createTarget(dtype, device.info, precision),
    createWeights: (reader) => new CudaWeights(device, reader),
    demand: (plan, storedType) => demandOf(plan, device.info, storedType),
    memory: device.meter,
    compile: (plan, options) => compileProgram(device, plan, options, tuner),
    async idle() {
      // Weights that were disposed of just now are released by promises: before the card is waited for, which gives them back.
      await Promise.resolve();
      await device.idle();
    },
    dispose: () => device.close(),
  };
}
