/** @file The names that --scheduler takes: the library's, and those of usual combinations with options. */
import { type Scheduler, type SchedulerConfig, SCHEDULERS as CLASSES } from 'calotype';

/** Makes a scheduler from a model's configuration. */
interface SchedulerFactory {
  fromConfig(config: SchedulerConfig): Scheduler;
}

const KARRAS = { useKarrasSigmas: true };
const SDE = { algorithmType: 'sde-dpmsolver++' } as const;

/** The scheduler of each name. */
export const SCHEDULERS = {
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

export type SchedulerName = keyof typeof SCHEDULERS;

/** All names. */
export const SCHEDULER_NAMES = Object.keys(SCHEDULERS).filter(isSchedulerName);

function isSchedulerName(name: string): name is SchedulerName {
  return Object.hasOwn(SCHEDULERS, name);
}
