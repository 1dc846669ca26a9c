/** @file `calotype bench`: times a denoising step, as a whole and op by op, with random weights. */
import { benchmarkModel, openBackend, openModel, type StepBenchmark, type TimedOp } from 'calotype';
import { defineCommand } from 'citty';
import { BACKENDS, backendsOf } from '../backends.ts';
import { interruptible } from '../interrupt.ts';
import { readChoice, readInteger, readNumber, readSize } from '../options.ts';
import { prepareAdapters } from '../prepare.ts';
import { Progress } from '../progress.ts';
import { starterModel } from '../starter.ts';
import { binaryBytes, decimal, table } from '../table.ts';

export const bench = defineCommand({
  meta: { name: 'bench', description: 'Time a denoising step, whole and op by op, with random weights' },
  args: {
    model: {
      type: 'positional',
      required: false,
      description: 'Folder or Hub id (the starter model); only its UNet config is read',
    },
    size: { type: 'string', valueHint: 'WxH', description: 'Pixels (what the model was trained at)' },
    steps: { type: 'string', valueHint: 'n', description: 'Steps to time, after two that are not (10)' },
    dtype: {
      type: 'string',
      valueHint: 'f16|f32',
      description: 'Storage of weights and activations (f16 if offered)',
    },
    backend: {
      type: 'string',
      valueHint: 'auto|webgpu|software|reference',
      description: 'What computes (auto)',
    },
    'peak-gflops': {
      type: 'string',
      valueHint: 'x',
      description: 'Roof of arithmetic, GFLOP/s (the best op of this run)',
    },
    'peak-gbps': {
      type: 'string',
      valueHint: 'x',
      description: 'Roof of memory, GB/s (the best op of this run)',
    },
  },
  async run({ args }) {
    const size = args.size === undefined ? {} : readSize('--size', args.size);
    const steps = readInteger('--steps', args.steps ?? '10', { min: 1, max: 10_000 });
    const name = readChoice('--backend', args.backend ?? 'auto', BACKENDS);
    const dtype = args.dtype === undefined ? undefined : readChoice('--dtype', args.dtype, ['f16', 'f32']);
    const peak = (option: 'peak-gflops' | 'peak-gbps'): number | undefined => {
      const text = args[option];
      return text === undefined ? undefined : readNumber(`--${option}`, text, { min: 1e-3 }) * 1e9;
    };
    const roof = { flops: peak('peak-gflops'), bytes: peak('peak-gbps') };
    if (name !== 'reference') await prepareAdapters();
    const source = await openModel(args.model ?? starterModel(), {});
    const backend = await openBackend(backendsOf(name));
    const progress = new Progress();
    try {
      const storage = dtype ?? (backend.dtypes.includes('f16') ? 'f16' : 'f32');
      const result = await interruptible((signal) =>
        benchmarkModel(source, backend, {
          dtype: storage,
          ...size,
          steps,
          heapUsed: () => process.memoryUsage().heapUsed,
          signal,
          onProgress: ({ phase, item, done, total }) =>
            progress.report({ phase: `${phase} of ${item}`, done, total }),
        }),
      );
      progress.end();
      process.stdout.write(`${source.name} on ${backend.name} (${backend.description}), ${storage}\n`);
      process.stdout.write(`${formatBenchmark(result, roof)}\n`);
    } finally {
      progress.end();
      backend.dispose();
    }
  },
});

/** The device's limits, in FLOP/s and bytes/s; undefined means the best that the run itself reached. */
interface Roof {
  readonly flops: number | undefined;
  readonly bytes: number | undefined;
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
  const given =
    roof.flops === undefined || roof.bytes === undefined
      ? 'best rates seen in this run unless given'
      : 'as given';
  return [
    table([['kernel', 'count', 'ms', 'median ms', 'share', 'GFLOP/s', 'GB/s', 'of roof'], ...rows]),
    `roof: ${decimal(peakFlops)}FLOP/s and ${decimal(peakBytes)}B/s (${given}); all dispatches ${total.toFixed(2)} ms`,
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

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}
