/** @file `calotype bench unet` and `vae`: one run as a whole and op by op, with random weights. */
import {
  benchmarkModel,
  type Backend,
  type FloatDType,
  type ModelSource,
  type NetworkBenchmark,
} from 'calotype';
import type { Advance } from '../progress.ts';
import { binaryBytes, decimal, table } from '../table.ts';
import { opGroups, roofOf, type OpGroup, type PartialPeak, type Roof, type RoofOrigin } from './roofline.ts';

/** What to time. */
export interface NetworkBenchRequest {
  readonly network: 'unet' | 'vae';
  readonly source: ModelSource;
  /** ControlNets that run with the UNet. */
  readonly controlnets?: readonly ModelSource[];
  readonly backend: Backend;
  readonly dtype: FloatDType;
  readonly size: { readonly width?: number; readonly height?: number };
  /** Pictures at once; default 1. */
  readonly batch?: number;
  readonly steps: number;
  /** The device's limits, where they shall not be measured. */
  readonly roof: PartialPeak;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** A benchmark with what follows from it. */
export interface NetworkFigures extends NetworkBenchmark {
  readonly roof: Roof;
  readonly groups: readonly OpGroup[];
}

/** Times a network. */
export async function benchNetwork(request: NetworkBenchRequest): Promise<NetworkFigures> {
  const { network, source, controlnets, backend, dtype, size, batch, steps, signal, onAdvance } = request;
  const given = request.roof;
  const result = await benchmarkModel(source, backend, {
    network,
    dtype,
    ...size,
    ...(batch !== undefined && { batch }),
    ...(controlnets && { controlnets }),
    steps,
    heapUsed: () => process.memoryUsage().heapUsed,
    signal,
    onProgress: ({ phase, item, done, total }) => onAdvance({ phase: `${phase} of ${item}`, done, total }),
  });
  const isGiven = given.flops !== undefined && given.bytes !== undefined;
  const measured = isGiven ? undefined : await backend.measurePeak?.(dtype);
  const roof = roofOf(result.profile, given, measured);
  return { ...result, roof, groups: opGroups(result.profile, roof) };
}

/** The figures as text. */
export function formatFigures(figures: NetworkFigures): string {
  const { dispatches, flops, latencyMs, throughputMs, hostMs, device, memoryBytes } = figures;
  const { allocatedBytes = 0, compileSeconds, groups } = figures;
  const rate = (ms: number): string => `${decimal(flops / (ms / 1000))}FLOP/s`;
  const host = `${((hostMs * 1000) / dispatches).toFixed(1)} us a dispatch`;
  return [
    `weights and kernels ready in ${compileSeconds.toFixed(1)} s, ${binaryBytes(memoryBytes)} on the device; ${dispatches} dispatches, ${decimal(flops)}FLOP`,
    `wall clock: ${throughputMs.toFixed(2)} ms queued (${rate(throughputMs)}), ${latencyMs.toFixed(2)} ms waited for (median)`,
    ...(device
      ? [
          `timestamps: ${device.runMs.toFixed(2)} ms (${rate(device.runMs)}), then ${device.idleMs.toFixed(2)} ms idle (medians)`,
        ]
      : []),
    `host: ${hostMs.toFixed(2)} ms, ${host}, ${binaryBytes(allocatedBytes)} allocated`,
    groups.length > 0 ? `\n${formatGroups(figures)}` : '\nThis device cannot time single dispatches.',
  ].join('\n');
}

function formatGroups({ groups, roof }: NetworkFigures): string {
  const rows = groups.map((group) => [
    group.name,
    String(group.count),
    group.milliseconds.toFixed(3),
    group.medianMs.toFixed(3),
    percent(group.share, 1),
    String(Number((group.flopsPerSecond / 1e12).toPrecision(3))),
    String(Number((group.bytesPerSecond / 1e9).toPrecision(3))),
    percent(group.ofRoof, 0),
  ]);
  const header = ['kernel', 'count', 'ms', 'median ms', 'share', 'TFLOP/s', 'GB/s', 'of roof'];
  const total = groups.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const worst = groups.reduce((a, b) => (b.lostMs > a.lostMs ? b : a));
  const limit = (value: number, unit: string, origin: RoofOrigin): string =>
    `${decimal(value)}${unit} (${ORIGINS[origin]})`;
  return [
    table([header, ...rows]),
    `roof: ${limit(roof.flops, 'FLOP/s', roof.flopsOrigin)} and ${limit(roof.bytes, 'B/s', roof.bytesOrigin)}; all dispatches, each timed alone, ${total.toFixed(2)} ms`,
    `bottleneck: ${worst.name}, ${worst.lostMs.toFixed(2)} ms over its roof`,
  ].join('\n');
}

const ORIGINS: Readonly<Record<RoofOrigin, string>> = {
  given: 'as given',
  measured: 'measured by itself, just now',
  'best op': 'the best op of this run',
};

function percent(value: number, digits: number): string {
  return `${(100 * value).toFixed(digits)} %`;
}
