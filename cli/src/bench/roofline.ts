/** @file Dispatches summed up by kernel, against what the device can do at best. */
import type { Peak, TimedOp } from 'calotype';
import { median } from '../table.ts';

/** The device's limits, and where they come from. */
export interface Roof {
  readonly flops: number;
  readonly bytes: number;
  readonly flopsOrigin: RoofOrigin;
  readonly bytesOrigin: RoofOrigin;
}

/** Whether a limit was given, measured by itself, or is the best that an op of the run reached. */
export type RoofOrigin = 'given' | 'measured' | 'best op';

/** Limits as far as they are known. */
export type PartialPeak = { readonly [K in keyof Peak]?: number | undefined };

/** What was given, else what was measured, else the best of the run. */
export function roofOf(profile: readonly TimedOp[], given: PartialPeak, measured: PartialPeak = {}): Roof {
  const timed = profile.filter(({ milliseconds }) => milliseconds > 0);
  const limit = (name: keyof Peak): readonly [number, RoofOrigin] => {
    const best = Math.max(0, ...timed.map((op) => (op[name] * 1000) / op.milliseconds));
    const [wanted, found] = [given[name], measured[name]];
    if (wanted !== undefined) return [wanted, 'given'];
    return found === undefined ? [best, 'best op'] : [found, 'measured'];
  };
  const [flops, flopsOrigin] = limit('flops');
  const [bytes, bytesOrigin] = limit('bytes');
  return { flops, bytes, flopsOrigin, bytesOrigin };
}

/** Dispatches of one kind of op by one kernel. */
export interface OpGroup {
  readonly name: string;
  readonly count: number;
  readonly milliseconds: number;
  readonly medianMs: number;
  /** Of the whole run's time. */
  readonly share: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  /** The least time that the device needs for the work, over the time it took. */
  readonly ofRoof: number;
  /** What it would save to reach the roof. */
  readonly lostMs: number;
}

/** Groups some ops by a name, the costliest group first. */
export function groupBy(ops: readonly TimedOp[], nameOf: (op: TimedOp) => string): [string, TimedOp[]][] {
  const byName = new Map<string, TimedOp[]>();
  for (const op of ops) byName.set(nameOf(op), [...(byName.get(nameOf(op)) ?? []), op]);
  const cost = (group: readonly TimedOp[]): number =>
    group.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [...byName].toSorted(([, a], [, b]) => cost(b) - cost(a));
}

/** `conv2d (gemm-matrix)`, or one word where both are the same. */
export function kernelName({ kind, kernel }: TimedOp): string {
  return kernel === kind ? kind : `${kind} (${kernel})`;
}

/** Sums up the ops of a group. */
export function sumUp(name: string, ops: readonly TimedOp[], totalMs: number, roof: Roof): OpGroup {
  const sum = (of: (op: TimedOp) => number): number => ops.reduce((all, op) => all + of(op), 0);
  const milliseconds = sum((op) => op.milliseconds);
  const leastMs = 1000 * sum(({ flops, bytes }) => Math.max(flops / roof.flops, bytes / roof.bytes));
  return {
    name,
    count: ops.length,
    milliseconds,
    medianMs: median(ops.map((op) => op.milliseconds)),
    share: milliseconds / totalMs,
    flopsPerSecond: (sum(({ flops }) => flops) * 1000) / milliseconds,
    bytesPerSecond: (sum(({ bytes }) => bytes) * 1000) / milliseconds,
    ofRoof: leastMs / milliseconds,
    lostMs: milliseconds - leastMs,
  };
}

/** All groups of a run, the costliest first. */
export function opGroups(profile: readonly TimedOp[], roof: Roof): OpGroup[] {
  const total = profile.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return groupBy(profile, kernelName).map(([name, ops]) => sumUp(name, ops, total, roof));
}
