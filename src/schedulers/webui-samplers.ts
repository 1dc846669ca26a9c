/** @file stable-diffusion-webui's names of samplers and schedule types, and the schedulers that they stand for. */
import { OptionError } from '../errors.ts';
import { nearestNames } from '../nearest-names.ts';
import { SCHEDULER_PRESET_NAMES, SCHEDULER_PRESETS, type SchedulerPreset } from './presets.ts';

const SAMPLERS: ReadonlyMap<string, SchedulerPreset> = new Map([
  ['DDIM', 'ddim'],
  ['PLMS', 'pndm'],
  ['Euler', 'euler'],
  ['Euler a', 'euler-ancestral'],
  ['Heun', 'heun'],
  ['LMS', 'lms'],
  ['DPM2', 'dpm2'],
  ['DPM2 a', 'dpm2-ancestral'],
  ['DPM++ 2M', 'dpm++'],
  ['DPM++ 2M SDE', 'dpm++-sde'],
  ['UniPC', 'unipc'],
  ['LCM', 'lcm'],
]);
/** Samplers for which "Automatic" means Karras. */
const KARRAS_BY_DEFAULT = new Set(['DPM++ 2M', 'DPM++ 2M SDE']);
const KARRAS = '-karras';

/** Names of the samplers that there are. */
export const WEBUI_SAMPLERS: readonly string[] = [...SAMPLERS.keys()];
/** Names of schedule types; not every sampler has the last. */
export const WEBUI_SCHEDULE_TYPES = ['Automatic', 'Uniform', 'Karras'] as const;

/**
 * The scheduler of a sampler and a schedule type ("Karras", which older versions write behind the sampler's name).
 * @param field what named them, for the message
 * @throws OptionError for those that have no equal here
 */
export function schedulerOfSampler(
  sampler: string,
  scheduleType: string | undefined,
  field = 'sampler',
): SchedulerPreset {
  const [, name = sampler, suffix] = /^(.*?)( Karras)?$/i.exec(sampler) ?? [];
  const written = suffix === undefined ? (scheduleType ?? 'Uniform') : 'Karras';
  // Clients write schedule types by name or by label.
  const type = WEBUI_SCHEDULE_TYPES.find((known) => known.toLowerCase() === written.toLowerCase());
  const isKarras = type === 'Karras' || (type === 'Automatic' && KARRAS_BY_DEFAULT.has(name));
  const base = SAMPLERS.get(name);
  const wanted = `${base}${isKarras ? KARRAS : ''}`;
  const found = SCHEDULER_PRESET_NAMES.find((known) => known === wanted);
  if (base !== undefined && found !== undefined && type !== undefined) return found;
  const [nearest] = nearestNames(name, WEBUI_SAMPLERS);
  throw new OptionError(`the sampler '${sampler}' with the schedule type '${written}' has no equal here`, {
    field,
    remedy: `The nearest is '${nearest}'; there are ${WEBUI_SAMPLERS.join(', ')}, and as schedulers ${SCHEDULER_PRESET_NAMES.join(', ')}`,
  });
}

/** The sampler's name for a preset, or for a class of schedulers; undefined where stable-diffusion-webui has none. */
export function samplerOfScheduler(presetOrClass: string): string | undefined {
  const base = presetOrClass.endsWith(KARRAS) ? presetOrClass.slice(0, -KARRAS.length) : presetOrClass;
  const direct = [...SAMPLERS].find(([, preset]) => preset === base);
  if (direct) return direct[0];
  return [...SAMPLERS].find(
    ([, preset]) => SCHEDULER_PRESETS[preset].fromConfig({}).config['_class_name'] === presetOrClass,
  )?.[0];
}
