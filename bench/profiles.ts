/** @file Profiles of a server's processes (profiled.ts), as the functions that their main threads spent their time in. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as v from 'valibot';

export const PROFILES_VARIABLE = 'CALOTYPE_PROFILES';
export const MICROSECONDS_A_SAMPLE = 500;

/** What is looked at: a name, and its microseconds since some moment by the machine's steady clock. */
export interface Span {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

const profileSchema = v.object({
  startTime: v.number(),
  nodes: v.array(
    v.object({
      id: v.number(),
      callFrame: v.object({ functionName: v.string(), url: v.string(), lineNumber: v.number() }),
    }),
  ),
  samples: v.array(v.number()),
  timeDeltas: v.array(v.number()),
});
type Profile = v.InferOutput<typeof profileSchema>;

/** Not work of the thread itself. */
const IDLE = '(idle)';

/** Microseconds of the machine's steady clock, which profiles have too. */
export function steadyMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/**
 * The heaviest functions of each process, by the time in themselves, for each span.
 * @param folder what profiled.ts wrote into
 * @param count of functions
 */
export function heaviestFunctions(folder: string, spans: readonly Span[], count: number): string {
  const sections = readdirSync(folder).flatMap((file) => {
    const profile = v.parse(profileSchema, JSON.parse(readFileSync(join(folder, file), 'utf8')));
    return spans.map((span) => {
      const times = [...selfTimes(profile, span)].sort(([, a], [, b]) => b - a);
      const busy = times.reduce((sum, [, time]) => sum + time, 0);
      const rows = times
        .slice(0, count)
        .map(([name, time]) => `  ${(time / 1000).toFixed(1).padStart(8)} ms  ${name}`);
      const share = ((100 * busy) / (span.end - span.begin)).toFixed(0);
      return [`${file}, ${span.name}: main thread busy for ${share} %`, ...rows].join('\n');
    });
  });
  return sections.join('\n');
}

/** Microseconds by function. */
function selfTimes({ startTime, nodes, samples, timeDeltas }: Profile, span: Span): Map<string, number> {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'} ${url === '' ? '' : `${basename(url)}:${lineNumber + 1}`}`.trimEnd(),
    ]),
  );
  const times = new Map<string, number>();
  let now = startTime;
  for (const [i, id] of samples.entries()) {
    // A sample's delta is the time since the one before it, which is what that one is taken to have lasted.
    now += timeDeltas[i];
    const name = names.get(id) ?? '?';
    if (name === IDLE || now < span.begin || now > span.end) continue;
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0));
  }
  return times;
}
