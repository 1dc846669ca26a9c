/** @file Where the time of requests went, by the header Server-Timing of their answers. */
import { table } from '../cli/src/table.ts';

/** Milliseconds of an answer's phases by name; a client adds what it saw besides. */
export type Timing = ReadonlyMap<string, number>;

/** Reads the header; phases without a duration are left out. */
export function readServerTiming(header: string | null): Timing {
  const timing = new Map<string, number>();
  for (const metric of (header ?? '').split(',')) {
    const [, name, milliseconds] = /^\s*([\w-]+)\s*;.*?dur=([\d.]+)/.exec(metric) ?? [];
    if (name !== undefined) timing.set(name, Number(milliseconds));
  }
  return timing;
}

/** A table of means, a row for each load; `rows` are its first cell and its answers' timings. */
export function phaseTable(rows: ReadonlyMap<string, readonly Timing[]>): string {
  const names = [...new Set([...rows.values()].flat().flatMap((timing) => [...timing.keys()]))];
  const meanOf = (timings: readonly Timing[], name: string): string => {
    const sum = timings.reduce((total, timing) => total + (timing.get(name) ?? 0), 0);
    return (sum / timings.length).toFixed(1);
  };
  return table([
    ['ms a picture', ...names],
    ...[...rows].map(([load, timings]) => [load, ...names.map((name) => meanOf(timings, name))]),
  ]);
}
