/** @file Where the time of a job goes, as the log, the metrics and the header Server-Timing tell it. */

/** The phases of a job, in their order. */
export const PHASES = [
  /** Waiting for a runner. */
  'queue',
  /** In the runner: its model and LoRAs are made ready, and the jobs before it are begun. */
  'begin',
  /** Until those whose steps it joins let it in. */
  'join',
  /** Prompts and pictures. */
  'encode',
  /** Weights and kernels, where they were not there. */
  'compile',
  /** All steps. */
  'denoise',
  /** From latents to pixels, behind the pictures before it. */
  'decode',
  /** From pixels to files. */
  'file',
  /** From the runner's process, or from the storage, to the server. */
  'return',
] as const;
export type Phase = (typeof PHASES)[number];

/** Seconds of a job's phases. */
export type Phases = Readonly<Partial<Record<Phase, number>>>;

/** The sum of all phases. */
export function secondsOf(phases: Phases): number {
  return PHASES.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0);
}

/** The value of the header Server-Timing (https://www.w3.org/TR/server-timing/), in milliseconds. */
export function serverTiming(phases: Phases): string {
  return PHASES.flatMap((phase) => {
    const { [phase]: seconds } = phases;
    return seconds === undefined ? [] : [`${phase};dur=${(seconds * 1000).toFixed(1)}`];
  }).join(', ');
}
