/** @file The native half as the TypeScript half sees it; `addon/addon.cc` implements it, and tests do with plain memory. */

/** A card. */
export interface DeviceInfo {
  readonly name: string;
  /** What nvidia-smi and CUDA_VISIBLE_DEVICES call it: `GPU-8932f937-d72c-4106-c12f-20bd9faed9f6`. */
  readonly uuid: string;
  /** Compute capability. */
  readonly major: number;
  readonly minor: number;
  readonly totalBytes: number;
  readonly multiprocessors: number;
}

/** Kernels by their numbers in `NativeCuda.kernels`, and where the argument struct of each begins in `args`. */
export interface LaunchList {
  readonly kernels: Int32Array;
  readonly offsets: Uint32Array;
  readonly args: Uint8Array;
}

/**
 * The addon's functions. A queue is one stream of one card: what is queued there happens in the order of the calls, and no
 * call but `copyOut`, `idle` and `time`, whose promises wait, is held up by it. Addresses are the device's.
 * Failures of CUDA are thrown as errors with the properties of `NativeFailure`.
 */
export interface NativeCuda {
  /** The newest CUDA that the driver knows, 13000 for 13.0; 0 without a driver. */
  driverVersion(): number;
  /** The CUDA that the addon was built with. */
  runtimeVersion(): number;
  deviceCount(): number;
  deviceInfo(device: number): DeviceInfo;
  /** Every kernel, with the size of its argument struct. */
  kernels(): readonly { readonly name: string; readonly argsBytes: number }[];
  openQueue(device: number): number;
  /** Waits for what is queued, and gives back what the driver keeps for it. */
  closeQueue(queue: number): void;
  allocate(queue: number, bytes: number): bigint;
  release(queue: number, address: bigint): void;
  fill(queue: number, address: bigint, byte: number, bytes: number): void;
  /** The bytes may change as soon as the call is over. */
  copyIn(queue: number, address: bigint, bytes: Uint8Array): void;
  copyOut(queue: number, address: bigint, bytes: number): Promise<ArrayBuffer>;
  idle(queue: number): Promise<void>;
  /** Launches once. */
  launch(queue: number, ...list: NativeLaunches): void;
  /** Captures launches into a graph, whose number it returns. */
  record(queue: number, ...list: NativeLaunches): number;
  replay(queue: number, graph: number): void;
  forget(queue: number, graph: number): void;
  /** Launches once; milliseconds of each launch as float64. */
  time(queue: number, ...list: NativeLaunches): Promise<ArrayBuffer>;
  memory(queue: number): { readonly freeBytes: number; readonly totalBytes: number };
}

type NativeLaunches = readonly [kernels: Int32Array, offsets: Uint32Array, args: Uint8Array];

/** A failed call of CUDA. */
export interface NativeFailure {
  /** The error's name, `cudaErrorMemoryAllocation`. */
  readonly cuda: string;
  /** The function that failed, or the kernel. */
  readonly operation: string;
  /** Index in the launch list; -1 if the failure is not of a launch. */
  readonly launch: number;
}

/** What an error says of a failure of CUDA; undefined if it is none. */
export function failureOf(error: unknown): NativeFailure | undefined {
  if (!(error instanceof Error) || !('cuda' in error && 'operation' in error && 'launch' in error))
    return undefined;
  const { cuda, operation, launch } = error;
  if (typeof cuda !== 'string' || typeof operation !== 'string' || typeof launch !== 'number')
    return undefined;
  return { cuda, operation, launch };
}
