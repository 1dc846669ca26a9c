/** @file stable-diffusion-webui's names of samplers, as names that --scheduler takes. */
import { OptionError, SCHEDULER_PRESET_NAMES, type SchedulerPreset } from 'calotype';

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

/**
 * The scheduler of a sampler and a schedule type ("Karras", which older versions write behind the sampler's name).
 * @throws OptionError for those that have no equal here
 */
export function schedulerOfSampler(sampler: string, scheduleType: string | undefined): SchedulerPreset {
  const [, name = sampler, suffix] = /^(.*?)( Karras)?$/.exec(sampler) ?? [];
  const type = suffix === undefined ? (scheduleType ?? 'Uniform') : 'Karras';
  const isKarras = type === 'Karras' || (type === 'Automatic' && KARRAS_BY_DEFAULT.has(name));
  const base = SAMPLERS.get(name);
  const wanted = `${base}${isKarras ? '-karras' : ''}`;
  const found = SCHEDULER_PRESET_NAMES.find((known) => known === wanted);
  if (base !== undefined && found !== undefined && ['Uniform', 'Automatic', 'Karras'].includes(type))
    return found;
  throw new OptionError(`the sampler '${sampler}' with the schedule type '${type}' has no equal here`, {
    field: '--config',
    remedy: `Choose one with --scheduler: ${SCHEDULER_PRESET_NAMES.join(', ')}.`,
  });
}
