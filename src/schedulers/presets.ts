/** @file Schedulers by the names that people choose them by: the classes', and those of usual combinations with options. */
import { SCHEDULERS as CLASSES } from './index.ts';
import type { Scheduler, SchedulerConfig } from './scheduler.ts';

/** Makes a scheduler from a model's configuration. */
interface SchedulerFactory {
  fromConfig(config: SchedulerConfig): Scheduler;
}

const KARRAS = { useKarrasSigmas: true };
const SDE = { algorithmType: 'sde-dpmsolver++' } as const;

/** The scheduler of each name; the command's --scheduler and the server take these. */
export const SCHEDULER_PRESETS = {
  ...CLASSES,
  'dpm++-sde': { fromConfig: (config) => CLASSES['dpm++'].fromConfig(config, SDE) },
  'dpm++-sde-karras': { fromConfig: (config) => CLASSES['dpm++'].fromConfig(config, { ...SDE, ...KARRAS }) },
  'dpm++-karras': { fromConfig: (config) => CLASSES['dpm++'].fromConfig(config, KARRAS) },
  'dpm++-singlestep-karras': {
    fromConfig: (config) => CLASSES['dpm++-singlestep'].fromConfig(config, KARRAS),
  },
  'dpm2-karras': { fromConfig: (config) => CLASSES.dpm2.fromConfig(config, KARRAS) },
  'dpm2-ancestral-karras': { fromConfig: (config) => CLASSES['dpm2-ancestral'].fromConfig(config, KARRAS) },
  'euler-karras': { fromConfig: (config) => CLASSES.euler.fromConfig(config, KARRAS) },
  'heun-karras': { fromConfig: (config) => CLASSES.heun.fromConfig(config, KARRAS) },
  'lms-karras': { fromConfig: (config) => CLASSES.lms.fromConfig(config, KARRAS) },
  'unipc-karras': { fromConfig: (config) => CLASSES.unipc.fromConfig(config, KARRAS) },
  'deis-karras': { fromConfig: (config) => CLASSES.deis.fromConfig(config, KARRAS) },
} satisfies Readonly<Record<string, SchedulerFactory>>;

export type SchedulerPreset = keyof typeof SCHEDULER_PRESETS;

/** All names. */
export const SCHEDULER_PRESET_NAMES = Object.keys(SCHEDULER_PRESETS).filter(isPreset);

function isPreset(name: string): name is SchedulerPreset {
  return Object.hasOwn(SCHEDULER_PRESETS, name);
}
