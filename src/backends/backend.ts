/**
 * @file The one interface between calotype and whatever computes.
 *
 * A backend gives a `Target` (what its kernels can do), compiles plans made for that target, and runs them. It
 * does not choose fusions, lay out memory, read files or know models: those are the passes', the planner's, the
 * loaders' and the pipelines' work. A backend owns its weights' packing and everything that touches its device.
 */

import type { BackendAttempt } from '../errors.ts';
import type { PlanDemand } from '../plan/demand.ts';
import type { Plan } from '../plan/plan.ts';
import type { WeightHold, WeightPlacement } from '../plan/stream.ts';
import type { Target } from '../plan/target.ts';
import type { DeviceDType, FloatDType, StoredDType } from '../tensor/dtype.ts';

/** Makes a backend, or says why it cannot be had. Values like `webgpu()` are factories. */
export interface BackendFactory {
  readonly name: string;
  /** Resolves to the backend, or to the reason and remedy when this machine cannot run it; never throws for that. */
  open(options?: { readonly signal?: AbortSignal }): Promise<Backend | BackendAttempt>;
}

/** Reads stored tensors one at a time; `loaders/weight-source.ts` gives one for a model's files. */
export interface WeightReader {
  /** Type and shape of a tensor; throws NotFoundError naming the file when it is missing. */
  info(name: string): {
    readonly dtype: StoredDType;
    readonly shape: readonly number[];
    readonly file: string;
  };
  /** All bytes of a tensor, little endian, row-major. */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * How a tensor comes about, for stores that can do the sum on their device. Undefined where it cannot be told so;
   * `info` and `read` tell of the sum in any case. Absent where tensors never change.
   */
  lowRank?(name: string): LowRankSum | undefined;
  /** Tells that a tensor is held elsewhere now, as it is wanted: its bytes need not be kept for the next `read`. */
  letGo?(name: string): void;
}

/** A tensor as rows x columns (axis 0 x all others): base + sum of scale * up * down, summed in f32. */
export interface LowRankSum {
  /** The base's stored type. */
  readonly dtype: StoredDType;
  /** The base as it is stored. */
  readBase(signal?: AbortSignal): Promise<Uint8Array>;
  /** Empty where the tensor is its base. */
  readonly terms: readonly LowRankTerm[];
  /** Those of all adapters that are loaded, in use or not: what stores may keep. */
  readonly loaded: readonly LowRankFactors[];
}

/** A product that is added. */
export interface LowRankTerm extends LowRankFactors {
  readonly scale: number;
}

/** Two thin matrices. The arrays are the same objects as long as their adapter is loaded. */
export interface LowRankFactors {
  readonly rank: number;
  /** [rows, rank] */
  readonly up: Float32Array;
  /** [rank, columns] */
  readonly down: Float32Array;
}

/** Weights on a device, shared by all programs compiled with them; filled as plans ask for tensors. */
export interface WeightStore {
  /** Bytes on the device so far. */
  readonly bytes: number;
  /** Frees the weights that hold a stored tensor; programs that use them must have been disposed of. */
  forget(tensor: string): void;
  /**
   * Brings weights up to date whose tensors the reader gives otherwise than before, between runs. Programs stay as they
   * are: what they bind or point to is overwritten in place, or moved for them. What was kept of adapters that are no longer
   * loaded is freed.
   */
  refresh(names: ReadonlySet<string>, options?: RefreshOptions): Promise<void>;
  /** Frees all weights; programs that use them must have been disposed of. What is compiled later loads them again. */
  dispose(): void;
  /** The same for what is on the device: what the host holds for `CompileOptions.keepHeld` stays. Absent where that is nothing. */
  vacate?(): void;
}

/** Bytes that a backend holds, from buffers that it made and not destroyed; drivers may take more for themselves. */
export interface MemoryMeter {
  readonly deviceBytes: number;
  /** The most since the last `restart`. */
  readonly peakDeviceBytes: number;
  /** The host's memory that the device reaches. */
  readonly hostBytes: number;
  readonly peakHostBytes: number;
  /** Makes what is held now the peak. */
  restart(): void;
}

/** Options of `WeightStore.refresh`. */
export interface RefreshOptions {
  /**
   * Bytes on the device that bases of changed weights and adapters may take, so that the next change neither reads files nor
   * uploads; default as many as they want. They stay as long as adapters are loaded.
   */
  readonly keepBytes?: number;
  readonly signal?: AbortSignal;
}

/** A tensor on a device that outlives a run and may be shared by programs. */
export interface DeviceTensor {
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  dispose(): void;
}

/** How far a compilation is; `total` is known from the start. */
export interface CompileProgress {
  readonly phase: 'weights' | 'kernels';
  readonly done: number;
  readonly total: number;
}

/** Options of `Backend.compile`. */
export interface CompileOptions {
  readonly weights: WeightStore;
  /** Tensors of other programs to use in place of tensors of its own, by the plan's tensor names. */
  readonly tensors?: ReadonlyMap<string, DeviceTensor>;
  /** Which weights stay on the device as kernels read them; default all. One of `Backend.holds`. */
  readonly placement?: WeightPlacement;
  /**
   * Whether what the host holds of weights that move stays when programs are disposed of, for those that come after them with
   * the same placement; until the store is disposed of. Default false.
   */
  readonly keepHeld?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CompileProgress) => void;
}

/** Time of one launch, for benchmarks; a dispatch of the plan may take several. */
export interface DispatchTime {
  /** Index in `plan.dispatches`. */
  readonly dispatch: number;
  /** What was launched: the stem of its shader. */
  readonly kernel: string;
  readonly milliseconds: number;
}

/** When a run began and ended on the device, in milliseconds since some moment. */
export interface RunTime {
  readonly begin: number;
  readonly end: number;
}

/** A compiled plan. Runs are queued in order; nothing blocks but `read` and `idle`. */
export interface Program {
  readonly plan: Plan;
  /** The tensor behind an input or output, to share with another program. */
  tensor(name: string): DeviceTensor;
  /** Sets an input: float data is converted to the tensor's type. Throws OptionError on a wrong length. */
  write(name: string, data: Float32Array | Int32Array): void;
  /** Queues one run of all dispatches; throws DeviceLostError if the device is gone. */
  run(): void;
  /** An output (or state) as float32, after all queued runs. */
  read(name: string): Promise<Float32Array>;
  /** Runs once with every dispatch timed on the device, if the device can. */
  profile?(): Promise<DispatchTime[]>;
  /** Times the next `count` runs on the device, if it can: the function that it gives waits for their times. */
  timeRuns?(count: number): () => Promise<readonly RunTime[]>;
  /** Frees everything but the weights and the tensors it was given. */
  dispose(): void;
}

/** A device's roofline. */
export interface Peak {
  /** Floating point operations a second, from registers. */
  readonly flops: number;
  /** Bytes a second read and written, if measured. */
  readonly bytes?: number;
}

/** An open device and its kernels. */
export interface Backend {
  readonly name: string;
  /** The adapter and driver, for people: `NVIDIA H100, Vulkan 580.159`. */
  readonly description: string;
  /** What the device does not offer and would use, and what to do about it: sentences for people. Absent where nothing is missed. */
  readonly lacks?: readonly string[];
  /** Element types that it computes in; 16 bits need device support. */
  readonly dtypes: readonly FloatDType[];
  /**
   * Its abilities for a storage type. f16 is storage of weights alone, with activations and arithmetic in f32, on a
   * device that does not compute in it, and on others where the arithmetic is asked for in f32. Throws OptionError where it
   * cannot be had at all.
   */
  target(dtype: FloatDType, arithmetic?: 'f32'): Target;
  /**
   * Measures kernels that a plan may gain from, for a few seconds at most over the backend's life, or until the signal is
   * aborted; whether it learnt anything, so that the plan should be made again.
   */
  tune?(plan: Plan, signal?: AbortSignal): Promise<boolean>;
  /**
   * Begins to compile a plan's kernels, and those that its weights need, and returns, so that `compile` finds them on their
   * way. Absent where there is nothing to compile, and where kernels are still to be measured, which may change plans.
   */
  warm?(plan: Plan, weights: WeightStore): void;
  /** An empty store that reads from `reader` as plans ask. */
  createWeights(reader: WeightReader): WeightStore;
  /** Uploads missing weights tensor by tensor, compiles kernels and records dispatches. */
  compile(plan: Plan, options: CompileOptions): Promise<Program>;
  /**
   * What a plan would take on the device.
   * @param storedType the type that a tensor is stored in
   */
  demand?(plan: Plan, storedType: (tensor: string) => StoredDType): PlanDemand;
  /** Finds out, once, what `demand` has to know of the device's memory: to be called before it, where it is there. */
  measureMemory?(): Promise<void>;
  /** How it can hold weights otherwise than kernels read them; nothing if absent. */
  readonly holds?: ReadonlySet<WeightHold>;
  /** Whether its memory is the host's own: what the host kept for it would be there twice. Default false. */
  readonly isHost?: boolean;
  /** Absent where bytes are not counted. */
  readonly memory?: MemoryMeter;
  /** Resolves when all queued work is done. */
  idle(): Promise<void>;
  /** Resolves when the driver has back what was freed; `idle` where there is no difference. */
  reclaim?(): Promise<void>;
  /** What the device can do at best right now, for a storage type, if it can measure that. */
  measurePeak?(dtype: FloatDType): Promise<Peak>;
  dispose(): void;
}
