/** @file What of a scheduler decides whether requests share a batch: the rest are numbers, which each has for itself. */
import { type SchedulerPreset, SCHEDULER_PRESETS } from 'calotype';

const KINDS = new Map<SchedulerPreset, string>();

/** The same for samplers with as much state, of which all or none draw noise. */
export function schedulerKind(preset: SchedulerPreset): string {
  const known = KINDS.get(preset);
  if (known !== undefined) return known;
  const scheduler = SCHEDULER_PRESETS[preset].fromConfig({});
  scheduler.setTimesteps(4);
  const kind = `${scheduler.slots}${scheduler.steps().some(({ usesNoise }) => usesNoise) ? ' with noise' : ''}`;
  KINDS.set(preset, kind);
  return kind;
}
