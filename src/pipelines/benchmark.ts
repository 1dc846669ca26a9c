/** @file Times a UNet's denoising step on a backend, with random weights, from its configuration alone. */

import type { Backend, Program, WeightReader } from '../backends/backend.ts';
import type { Graph } from '../graph/graph.ts';
import { bytesMoved, flopsOf, type OpKind } from '../graph/ops.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { Plan, PlannedValue } from '../plan/plan.ts';
import { encodeF16 } from '../tensor/float16.ts';
import { buildUNet2DCondition } from '../models/unet2d-condition.ts';
import { Denoiser, type DenoisePrograms } from './denoiser.ts';
import { Network } from './network.ts';
import type { ProgressListener } from './progress.ts';

/** What to time. */
export interface BenchmarkOptions {
  /** Storage type; see `Backend.target`. */
  readonly dtype: 'f32' | 'f16';
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
  /** Micro-conditioning numbers: 6 for SDXL, else 0. */
  readonly microConditions: number;
  /** Steps that are timed, after two that are not. */
  readonly steps: number;
  /** Bytes of JavaScript objects now, where the runtime can tell (Node: process.memoryUsage().heapUsed). */
  readonly heapUsed?: () => number;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** Times of one step; the UNet runs on a batch of two (one picture under guidance). */
export interface StepBenchmark {
  readonly dispatches: number;
  readonly flops: number;
  /** Median wall time of a step, each waited for, in milliseconds. */
  readonly latencyMs: number;
  /** Wall time of a step with all steps queued, in milliseconds: what a picture costs. */
  readonly throughputMs: number;
  /** Host time to encode and submit one step, in milliseconds. */
  readonly hostMs: number;
  /** Most bytes of JavaScript objects that one step allocated; undefined without `heapUsed`. */
  readonly allocatedBytes: number | undefined;
  /** Seconds to upload weights and compile kernels. */
  readonly compileSeconds: number;
  /** Per dispatch, the median of some runs; empty if the device cannot tell. */
  readonly profile: readonly TimedOp[];
}

/** One dispatch of the plan, with the work it stands for. */
export interface TimedOp {
  readonly kind: OpKind;
  /** The kernel that the planner chose; its launches are timed together. */
  readonly kernel: string;
  readonly node: string;
  readonly milliseconds: number;
  readonly shape: readonly number[];
  readonly flops: number;
  /** Bytes that must be read and written at least once. */
  readonly bytes: number;
}

/** Most runs that are timed op by op: on software adapters each takes as long as a step. */
const MOST_PROFILES = 5;

const NOISE_BLOCK = 1 << 16;

/** Weights made up on the spot: small normal-looking numbers, ones for the scales of norms. */
function randomWeights(graph: Graph): WeightReader {
  const shapes = new Map(graph.weights.flatMap(({ parts }) => parts.map(({ name, shape }) => [name, shape])));
  let state = 1;
  const uniform = (): number => (state = Math.imul(state, 1664525) + 1013904223) / 2 ** 31;
  const noise = encodeF16(
    Float32Array.from({ length: NOISE_BLOCK }, () => 0.02 * (uniform() + uniform() + uniform())),
  );
  const ones = encodeF16(new Float32Array(NOISE_BLOCK).fill(1));
  const shapeOf = (name: string): readonly number[] => {
    const shape = shapes.get(name);
    if (!shape) throw new RangeError(`no weight ${name}`);
    return shape;
  };
  return {
    info: (name) => ({ dtype: 'F16', shape: shapeOf(name), file: 'random weights' }),
    read(name) {
      const shape = shapeOf(name);
      const count = shape.reduce((a, b) => a * b, 1);
      const block = shape.length === 1 && name.endsWith('.weight') ? ones : noise;
      const out = new Uint16Array(count);
      for (let at = 0; at < count; at += block.length)
        out.set(block.subarray(0, Math.min(block.length, count - at)), at);
      return Promise.resolve(new Uint8Array(out.buffer));
    },
  };
}

/** FLOPs and least bytes of each dispatch of a plan, in order. */
function workOf(plan: Plan): Omit<TimedOp, 'milliseconds'>[] {
  const valueOf = (id: number): PlannedValue => {
    const value = plan.values.get(id);
    if (!value) throw new RangeError(`no value ${id}`);
    return value;
  };
  return plan.dispatches.map(({ node, kernel }) => ({
    kind: node.kind,
    kernel,
    node: node.name,
    shape: valueOf(node.output).shape,
    flops: Number(flopsOf(node, (id) => ({ shape: valueOf(id).shape, dtype: 'float' }))),
    bytes: bytesMoved(node, (id) => valueOf(id).bytes),
  }));
}

/** Compiles and times a UNet's step. */
export async function benchmarkUNet(
  backend: Backend,
  config: UNet2DConditionConfig,
  options: BenchmarkOptions,
): Promise<StepBenchmark> {
  const { dtype, height, width, microConditions, steps, onProgress, signal } = options;
  const network = new Network(
    'unet',
    backend,
    dtype,
    backend.createWeights(randomWeights(buildUNet2DCondition(config))),
  );
  const denoiser = new Denoiser(network, config);
  const begin = performance.now();
  try {
    const structure = { guided: true, rescale: false, slots: 1, noise: false, microConditions };
    const session = await denoiser.prepare({ ...structure, images: 1, height, width, tokens: 77 }, steps, {
      signal,
      onProgress,
    });
    const compileSeconds = (performance.now() - begin) / 1000;
    fillInputs(session, config, options);
    return { compileSeconds, ...(await timeSteps(backend, session, options)) };
  } finally {
    denoiser.dispose();
    network.dispose();
  }
}

/** Inputs that keep numbers small: an identity scheduler and constant conditions. */
function fillInputs(
  session: DenoisePrograms,
  config: UNet2DConditionConfig,
  { height, width, microConditions }: BenchmarkOptions,
): void {
  const added = config.additionEmbed;
  session.setPrompt({
    encoder_hidden_states: new Float32Array(2 * 77 * config.crossAttentionDim).fill(0.1),
    ...(added && {
      text_embeds: new Float32Array(2 * (added.inputDim - microConditions * added.timeEmbedDim)).fill(0.1),
      time_ids: new Float32Array(2 * microConditions).fill(512),
    }),
  });
  const step = {
    timestep: 500,
    input: [1],
    x0: { state: [0], output: 0, clip: Infinity },
    next: { state: [[0.999]], output: [1e-3], x0: [0], noise: [0] },
    usesNoise: false,
  };
  session.setSchedule([step], { scale: 7.5, rescale: 0 });
  const latents = Float32Array.from({ length: config.outChannels * height * width }, (_, i) =>
    Math.sin(i * 12.9898),
  );
  session.setLatents(latents);
}

async function timeSteps(
  backend: Backend,
  session: DenoisePrograms,
  { steps, signal, heapUsed }: BenchmarkOptions,
): Promise<Omit<StepBenchmark, 'compileSeconds'>> {
  for (let i = 0; i < 2; i++) session.step(0);
  await backend.idle();
  const latencies: number[] = [];
  for (let i = 0; i < steps; i++) {
    signal?.throwIfAborted();
    const begin = performance.now();
    session.step(0);
    await backend.idle();
    latencies.push(performance.now() - begin);
  }
  const begin = performance.now();
  let host = 0;
  let allocated = 0;
  for (let i = 0; i < steps; i++) {
    const before = heapUsed?.() ?? 0;
    const queued = performance.now();
    session.step(0);
    host += performance.now() - queued;
    // A collection in between makes a step's figure too small, so the largest is the one to believe.
    allocated = Math.max(allocated, (heapUsed?.() ?? 0) - before);
  }
  await backend.idle();
  const throughputMs = (performance.now() - begin) / steps;
  const program = session.latentProgram;
  const work = workOf(program.plan);
  const times = await profileDispatches(program, Math.min(steps, MOST_PROFILES), signal);
  return {
    dispatches: program.plan.dispatches.length,
    flops: work.reduce((sum, op) => sum + op.flops, 0),
    latencyMs: median(latencies),
    throughputMs,
    hostMs: host / steps,
    allocatedBytes: heapUsed && allocated,
    profile: times.map((milliseconds, i) => ({ ...work[i], milliseconds })),
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
