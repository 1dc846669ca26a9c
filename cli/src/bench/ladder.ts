/** @file `calotype bench ladder`: what each step from a plain runtime to this one gains, after diffusion-fast's ladder. */
import { FUSIONS, openBackend, webgpu, type ModelSource } from 'calotype';
import type { BackendChoice } from '../backends.ts';
import type { Advance } from '../progress.ts';
import { table } from '../table.ts';
import { benchNetwork, type NetworkFigures } from './network.ts';
import type { PartialPeak } from './roofline.ts';
import { describeSwitches, webGpuOptions, type Switches } from './switches.ts';

/** A rung: its name, and the options that anyone can give. */
interface Rung {
  readonly name: string;
  readonly dtype: 'f16' | 'f32';
  readonly switches: Omit<Switches, 'setting'>;
  readonly autotune: boolean;
  /** Whether it computes wide linear layers on signed bytes: the only rung that changes the picture. */
  readonly int8?: true;
}

/** Kernels that stage keys and values and share them among queries; without them a thread reads all keys for itself. */
const FLASH = ['attention-matrix', 'attention-wide', 'attention-tiled'];

/** From the plainest up; each rung has what the one before it has. */
function rungs(): readonly Rung[] {
  const rung = (
    name: string,
    dtype: Rung['dtype'],
    withoutKernels: readonly string[],
    withoutFusions: readonly string[],
    recorded = false,
    autotune = false,
  ): Rung => ({ name, dtype, switches: { withoutFusions, withoutKernels, recorded }, autotune });
  return [
    rung('f32 naive', 'f32', FLASH, FUSIONS),
    rung('f16', 'f16', FLASH, FUSIONS),
    rung('flash attention', 'f16', [], FUSIONS),
    rung('fused', 'f16', [], ['qkv']),
    rung('QKV', 'f16', [], []),
    rung('recorded', 'f16', [], [], true),
    rung('tuned', 'f16', [], [], true, true),
    { ...rung('int8 (changes the picture)', 'f16', [], [], true, true), int8: true },
  ];
}

/** What to time. */
export interface LadderRequest {
  readonly source: ModelSource;
  readonly adapter: BackendChoice['adapter'];
  readonly setting: Switches['setting'];
  readonly size: { readonly width?: number; readonly height?: number };
  readonly steps: number;
  readonly roof: PartialPeak;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** One measured rung. */
export interface RungFigures {
  readonly name: string;
  /** What `calotype bench unet` takes to do the same. */
  readonly options: string;
  readonly figures: NetworkFigures;
}

/** Times a UNet's step on every rung. */
export async function benchLadder(
  request: LadderRequest,
): Promise<{ readonly description: string; readonly rungs: RungFigures[] }> {
  const { source, adapter, setting, size, steps, roof, signal, onAdvance } = request;
  const results: RungFigures[] = [];
  let description = '';
  for (const { name, dtype, switches, autotune, int8 } of rungs()) {
    const all = { ...switches, setting };
    const options = { ...webGpuOptions(all), adapter, autotune, ...(int8 && { int8: 'dynamic' as const }) };
    const backend = await openBackend([webgpu(options)], { signal });
    description = backend.description;
    try {
      const figures = await benchNetwork({
        network: 'unet',
        source,
        backend,
        dtype,
        size,
        steps,
        roof,
        signal,
        onAdvance: (advance) => onAdvance({ ...advance, phase: `${name}: ${advance.phase}` }),
      });
      const flags = [
        `--dtype ${dtype}`,
        autotune ? '--autotune' : '--no-autotune',
        ...(int8 ? ['--int8'] : []),
        describeSwitches(all),
      ];
      results.push({ name, options: flags.join(' ').trimEnd(), figures });
    } finally {
      backend.dispose();
    }
  }
  return { description, rungs: results };
}

/** The ladder as text. */
export function formatLadder(measured: readonly RungFigures[]): string {
  const first = measured[0].figures.throughputMs;
  const rows = measured.map(({ name, figures: { throughputMs, device, hostMs, dispatches } }) => [
    name,
    throughputMs.toFixed(2),
    device?.runMs.toFixed(2) ?? '',
    hostMs.toFixed(2),
    String(dispatches),
    `${(first / throughputMs).toFixed(1)}x`,
  ]);
  return [
    table([['rung', 'ms a step', 'on the device', 'on the host', 'dispatches', 'gain'], ...rows]),
    '',
    'Each rung is `calotype bench unet` with:',
    table(
      measured.map(({ name, options }) => [name, options]),
      [0, 1],
    ),
  ].join('\n');
}
