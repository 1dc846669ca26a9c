/** @file Times the runs of a program: as a whole, on the device, on the host, and dispatch by dispatch. */

import type { Backend, Program, RunTime } from '../../backends/backend.ts';
import { bytesMoved, flopsOf, type OpKind } from '../../graph/ops.ts';
import type { Plan, PlannedValue } from '../../plan/plan.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import type { ProgressListener } from '../progress.ts';

/** How a network is timed. */
export interface TimingOptions {
  /** Storage type; see `Backend.target`. */
  readonly dtype: FloatDType;
  /** Runs that are timed, after two that are not. */
  readonly steps: number;
  /** Bytes of JavaScript objects now, where the runtime can tell (Node: process.memoryUsage().heapUsed). */
  readonly heapUsed?: () => number;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** Times of one run of a network: a denoising step (two rows a picture, which is under guidance), or a VAE's decoding. */
export interface NetworkBenchmark {
  readonly dispatches: number;
  readonly flops: number;
  /** Median wall time of a run, each waited for, in milliseconds. */
  readonly latencyMs: number;
  /** Wall time of a run with all runs queued, in milliseconds: what a picture costs. */
  readonly throughputMs: number;
  /** Host time to encode and submit one run, in milliseconds. */
  readonly hostMs: number;
  /** Medians by the device's own clock, with all runs queued, in milliseconds; undefined if it has none. */
  readonly device: { readonly runMs: number; readonly idleMs: number } | undefined;
  /** Most bytes of JavaScript objects that one run allocated; undefined without `heapUsed`. */
  readonly allocatedBytes: number | undefined;
  /** Seconds to upload weights and compile kernels. */
  readonly compileSeconds: number;
  /** Bytes on the device: weights, activations, inputs and outputs. */
  readonly memoryBytes: number;
  /** Per dispatch, the median of some runs; empty if the device cannot tell. */
  readonly profile: readonly TimedOp[];
}

/** One dispatch of the plan, with the work it stands for. */
export interface TimedOp {
  readonly kind: OpKind;
  /** The kernel that the planner chose, and its variant; its launches are timed together. */
  readonly kernel: string;
  readonly variant?: string;
  readonly node: string;
  readonly milliseconds: number;
  readonly shape: readonly number[];
  readonly flops: number;
  /** Bytes that must be read and written at least once. */
  readonly bytes: number;
}

/** Most runs that are timed op by op: on software adapters each takes as long as a run. */
const MOST_PROFILES = 5;

/** FLOPs and least bytes of each dispatch of a plan, in order. */
function workOf(plan: Plan): Omit<TimedOp, 'milliseconds'>[] {
  const valueOf = (id: number): PlannedValue => {
    const value = plan.values.get(id);
    if (!value) throw new RangeError(`no value ${id}`);
    return value;
  };
  return plan.dispatches.map(({ node, kernel, variant }) => ({
    kind: node.kind,
    kernel,
    ...(variant !== undefined && { variant }),
    node: node.name,
    shape: valueOf(node.output).shape,
    flops: Number(flopsOf(node, (id) => ({ shape: valueOf(id).shape, dtype: 'float' }))),
    bytes: bytesMoved(node, (id) => valueOf(id).bytes),
  }));
}

/** Bytes of programs that share tensors and a store of weights. */
export function memoryOf(programs: readonly Program[], weightBytes: number): number {
  const tensors = new Map(
    programs.flatMap(({ plan }) => plan.tensors.map(({ name, bytes }) => [name, bytes])),
  );
  return [weightBytes, ...tensors.values(), ...programs.flatMap(({ plan }) => plan.arena)].reduce(
    (a, b) => a + b,
    0,
  );
}

/**
 * Times a compiled program.
 * @param run queues one run with everything that belongs to it
 */
export async function timeProgram(
  backend: Backend,
  program: Program,
  run: () => void,
  { steps, signal, heapUsed }: TimingOptions,
): Promise<Omit<NetworkBenchmark, 'compileSeconds' | 'memoryBytes'>> {
  for (let i = 0; i < 2; i++) run();
  await backend.idle();
  const latencies: number[] = [];
  for (let i = 0; i < steps; i++) {
    signal?.throwIfAborted();
    const begin = performance.now();
    run();
    await backend.idle();
    latencies.push(performance.now() - begin);
  }
  const begin = performance.now();
  let host = 0;
  let allocated = 0;
  for (let i = 0; i < steps; i++) {
    const before = heapUsed?.() ?? 0;
    const queued = performance.now();
    run();
    host += performance.now() - queued;
    // A collection in between makes a run's figure too small, so the largest is the one to believe.
    allocated = Math.max(allocated, (heapUsed?.() ?? 0) - before);
  }
  await backend.idle();
  const throughputMs = (performance.now() - begin) / steps;
  const onDevice = program.timeRuns?.(steps);
  if (onDevice) for (let i = 0; i < steps; i++) run();
  const device = deviceTimes((await onDevice?.()) ?? []);
  const work = workOf(program.plan);
  const times = await profileDispatches(program, Math.min(steps, MOST_PROFILES), signal);
  return {
    dispatches: program.plan.dispatches.length,
    flops: work.reduce((sum, op) => sum + op.flops, 0),
    latencyMs: median(latencies),
    throughputMs,
    hostMs: host / steps,
    device,
    allocatedBytes: heapUsed && allocated,
    profile: times.map((milliseconds, i) => ({ ...work[i], milliseconds })),
  };
}

/** Medians of runs, and of the gaps between them; a run may be said to begin before the one before has ended. */
function deviceTimes(times: readonly RunTime[]): NetworkBenchmark['device'] {
  if (times.length === 0) return undefined;
  const previous = (i: number): number => times[i - 1]?.end ?? times[i].begin;
  return {
    runMs: median(times.map(({ begin, end }, i) => end - Math.max(begin, previous(i)))),
    idleMs: median(times.map(({ begin }, i) => Math.max(0, begin - previous(i)))),
  };
}

/** Median over some runs of each dispatch's time, all its launches together; empty if the device cannot tell. */
async function profileDispatches(program: Program, runs: number, signal?: AbortSignal): Promise<number[]> {
  if (!program.profile) return [];
  const times = program.plan.dispatches.map((): number[] => []);
  for (let run = 0; run < runs; run++) {
    signal?.throwIfAborted();
    for (const dispatch of times) dispatch.push(0);
    for (const { dispatch, milliseconds } of await program.profile()) times[dispatch][run] += milliseconds;
  }
  return times.map(median);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}
