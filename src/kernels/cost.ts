/**
 * @file What a launch should cost on a device, from its work and a few numbers about the device. Predictions rank
 * variants for autotuning, which measures the likeliest ones first; they are no promise of times.
 */

/** The work of a kernel's launches for a node. */
export interface Price {
  readonly arithmetic: 'matrix' | 'vector';
  /** Padding of tiles included. */
  readonly flops: number;
  /** Moved between workgroups and caches, partial sums included. */
  readonly bytes: number;
  readonly workgroups: number;
  /** Of a workgroup. */
  readonly threads: number;
  readonly launches: number;
}

/** What a device can do; only ratios matter. */
export interface DeviceSpeeds {
  /** FLOP/s with subgroup matrices and without. */
  readonly matrix: number;
  readonly vector: number;
  /** Of caches, in bytes a second. */
  readonly bytes: number;
  /** Threads that work at once, with the registers that large tiles take. */
  readonly threads: number;
  /** What any launch takes, in milliseconds. */
  readonly launchMs: number;
}

/** Speeds by vendor, as adapters name it: an H100 (measured), an M2 Max, an Arc B580 and a Radeon 7900 (data sheets). */
const SPEEDS: Readonly<Record<string, DeviceSpeeds>> = {
  nvidia: { matrix: 300e12, vector: 40e12, bytes: 5.5e12, threads: 132 * 384, launchMs: 0.003 },
  apple: { matrix: 13e12, vector: 11e12, bytes: 1e12, threads: 38 * 512, launchMs: 0.005 },
  intel: { matrix: 110e12, vector: 13e12, bytes: 1.5e12, threads: 20 * 512, launchMs: 0.005 },
  amd: { matrix: 100e12, vector: 45e12, bytes: 3e12, threads: 96 * 512, launchMs: 0.005 },
};

/** Speeds of an adapter by its vendor; those of a large GPU if it is not known. */
export function speedsOf(vendor: string): DeviceSpeeds {
  return SPEEDS[vendor.toLowerCase()] ?? SPEEDS['nvidia'];
}

/** Milliseconds: arithmetic or memory, whichever takes longer, when the last wave of workgroups leaves a part idle. */
export function predictMs(price: Price, speeds: DeviceSpeeds): number {
  const atOnce = Math.max(1, speeds.threads / price.threads);
  const waves = Math.ceil(price.workgroups / atOnce);
  const used = price.workgroups / (waves * atOnce);
  const arithmetic = price.flops / (speeds[price.arithmetic] * used);
  const memory = price.bytes / (speeds.bytes * Math.min(1, price.workgroups / atOnce));
  return 1000 * Math.max(arithmetic, memory) + price.launches * speeds.launchMs;
}
