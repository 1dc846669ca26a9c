/** @file `calotype bench unet`: a denoising step, as a whole and op by op, with random weights. */
import { benchmarkModel, type Backend, type ModelSource, type StepBenchmark, type TimedOp } from 'calotype';
import { binaryBytes, decimal, median, table } from '../table.ts';
import type { Advance } from '../progress.ts';

/** What to time. */
export interface UNetBenchRequest {
  readonly source: ModelSource;
  readonly backend: Backend;
  readonly dtype: 'f16' | 'f32';
  readonly size: { readonly width?: number; readonly height?: number };
  readonly steps: number;
  readonly roof: Roof;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** Times steps and ops; gives text for people, and data. */
export async function benchUNet(request: UNetBenchRequest): Promise<{ text: string; data: StepBenchmark }> {
  const { source, backend, dtype, size, steps, roof, signal, onAdvance } = request;
  const data = await benchmarkModel(source, backend, {
    dtype,
    ...size,
    steps,
    heapUsed: () => process.memoryUsage().heapUsed,
    signal,
    onProgress: ({ phase, item, done, total }) => onAdvance({ phase: `${phase} of ${item}`, done, total }),
  });
  const flops = roof.flops ?? (await backend.measurePeak?.());
  return { text: formatBenchmark(data, { ...roof, flops, measured: roof.flops === undefined }), data };
}

/** The device's limits, in FLOP/s and bytes/s; undefined means the best that the run itself reached. */
export interface Roof {
  readonly flops: number | undefined;
  readonly bytes: number | undefined;
  /** Whether `flops` is what the backend's own inner loop reached, and not given. */
  readonly measured?: boolean;
}

/** The whole result as text. */
export function formatBenchmark(result: StepBenchmark, roof: Roof): string {
  const { dispatches, flops, latencyMs, throughputMs, hostMs, allocatedBytes, compileSeconds, profile } =
    result;
  const rate = `${decimal(flops / (throughputMs / 1000))}FLOP/s`;
  const host = `${((hostMs * 1000) / dispatches).toFixed(1)} us a dispatch`;
  return [
    `weights and kernels ready in ${compileSeconds.toFixed(1)} s; ${dispatches} dispatches, ${decimal(flops)}FLOP a step`,
    `step: ${throughputMs.toFixed(2)} ms queued (${rate}), ${latencyMs.toFixed(2)} ms waited for (median)`,
    `host: ${hostMs.toFixed(2)} ms a step, ${host}, ${binaryBytes(allocatedBytes ?? 0)} allocated`,
    profile.length > 0 ? `\n${formatOps(profile, roof)}` : '\nThis device cannot time single dispatches.',
  ].join('\n');
}

function formatOps(profile: readonly TimedOp[], roof: Roof): string {
  const timed = profile.filter(({ milliseconds }) => milliseconds > 0);
  const best = (of: (op: TimedOp) => number): number =>
    Math.max(0, ...timed.map((op) => of(op) / (op.milliseconds / 1000)));
  const peakFlops = roof.flops ?? best(({ flops }) => flops);
  const peakBytes = roof.bytes ?? best(({ bytes }) => bytes);
  const total = profile.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const rows = groups(profile).map(({ name, ops }) => {
    const sum = (of: (op: TimedOp) => number): number => ops.reduce((all, op) => all + of(op), 0);
    const seconds = sum(({ milliseconds }) => milliseconds) / 1000;
    const least = sum(({ flops, bytes }) => Math.max(flops / peakFlops, bytes / peakBytes));
    return [
      name,
      String(ops.length),
      (seconds * 1000).toFixed(3),
      median(ops.map(({ milliseconds }) => milliseconds)).toFixed(3),
      `${((seconds * 1e5) / total).toFixed(1)} %`,
      (sum(({ flops }) => flops) / seconds / 1e9).toFixed(1),
      (sum(({ bytes }) => bytes) / seconds / 1e9).toFixed(1),
      `${((least / seconds) * 100).toFixed(0)} %`,
    ];
  });
  return [
    table([['kernel', 'count', 'ms', 'median ms', 'share', 'GFLOP/s', 'GB/s', 'of roof'], ...rows]),
    `roof: ${decimal(peakFlops)}FLOP/s (${origin(roof.flops, roof.measured)}) and ${decimal(peakBytes)}B/s (${origin(roof.bytes)}); all dispatches ${total.toFixed(2)} ms`,
  ].join('\n');
}

/** Dispatches by op kind and kernel, the costliest first. */
function groups(
  profile: readonly TimedOp[],
): readonly { readonly name: string; readonly ops: readonly TimedOp[] }[] {
  const byName = new Map<string, TimedOp[]>();
  for (const op of profile) {
    const name = op.kernel === op.kind ? op.kind : `${op.kind} (${op.kernel})`;
    byName.set(name, [...(byName.get(name) ?? []), op]);
  }
  const cost = (ops: readonly TimedOp[]): number =>
    ops.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [...byName].map(([name, ops]) => ({ name, ops })).toSorted((a, b) => cost(b.ops) - cost(a.ops));
}

function origin(given: number | undefined, measured = false): string {
  if (given === undefined) return 'the best op of this run';
  return measured ? "the backend's inner loop by itself, just now" : 'as given';
}
