/**
 * @file Schedulers by name, each loaded when a model or a choice names it. `SCHEDULERS` in index.ts is the same table with all
 * of them there.
 */
import { ConfigError } from '../errors.ts';
import { later } from '../later.ts';
import type { Scheduler, SchedulerConfig } from './scheduler.ts';

/** What schedulers are made by; each class also has overrides of its own settings. */
export interface SchedulerClass {
  /** diffusers' name of the class, `_class_name` in files. */
  readonly className: string;
  fromConfig(config: SchedulerConfig, overrides?: Readonly<Record<never, never>>, file?: string): Scheduler;
}

/** A scheduler that is not loaded yet. */
interface SchedulerEntry {
  readonly className: string;
  load(): Promise<SchedulerClass>;
}

/** Schedulers by short names. */
export const SCHEDULER_LOADERS = {
  ddim: {
    className: 'DDIMScheduler',
    load: async () => (await import('./ddim.ts')).DDIMScheduler,
  },
  ddpm: {
    className: 'DDPMScheduler',
    load: async () => (await import('./ddpm.ts')).DDPMScheduler,
  },
  deis: {
    className: 'DEISMultistepScheduler',
    load: async () => (await import('./deis-multistep.ts')).DEISMultistepScheduler,
  },
  'dpm++': {
    className: 'DPMSolverMultistepScheduler',
    load: async () => (await import('./dpm-solver-multistep.ts')).DPMSolverMultistepScheduler,
  },
  'dpm++-singlestep': {
    className: 'DPMSolverSinglestepScheduler',
    load: async () => (await import('./dpm-solver-singlestep.ts')).DPMSolverSinglestepScheduler,
  },
  dpm2: {
    className: 'KDPM2DiscreteScheduler',
    load: async () => (await import('./kdpm2-discrete.ts')).KDPM2DiscreteScheduler,
  },
  'dpm2-ancestral': {
    className: 'KDPM2AncestralDiscreteScheduler',
    load: async () => (await import('./kdpm2-ancestral-discrete.ts')).KDPM2AncestralDiscreteScheduler,
  },
  euler: {
    className: 'EulerDiscreteScheduler',
    load: async () => (await import('./euler-discrete.ts')).EulerDiscreteScheduler,
  },
  'euler-ancestral': {
    className: 'EulerAncestralDiscreteScheduler',
    load: async () => (await import('./euler-ancestral-discrete.ts')).EulerAncestralDiscreteScheduler,
  },
  heun: {
    className: 'HeunDiscreteScheduler',
    load: async () => (await import('./heun-discrete.ts')).HeunDiscreteScheduler,
  },
  lcm: {
    className: 'LCMScheduler',
    load: async () => (await import('./lcm.ts')).LCMScheduler,
  },
  lms: {
    className: 'LMSDiscreteScheduler',
    load: async () => (await import('./lms-discrete.ts')).LMSDiscreteScheduler,
  },
  pndm: {
    className: 'PNDMScheduler',
    load: async () => (await import('./pndm.ts')).PNDMScheduler,
  },
  tcd: {
    className: 'TCDScheduler',
    load: async () => (await import('./tcd.ts')).TCDScheduler,
  },
  unipc: {
    className: 'UniPCMultistepScheduler',
    load: async () => (await import('./unipc-multistep.ts')).UniPCMultistepScheduler,
  },
} satisfies Readonly<Record<string, SchedulerEntry>>;

/** Short name of a scheduler. */
export type SchedulerName = keyof typeof SCHEDULER_LOADERS;

/** A scheduler's class. Throws DownloadError where it cannot be loaded. */
export function loadScheduler(name: SchedulerName): Promise<SchedulerClass> {
  const { className, load }: SchedulerEntry = SCHEDULER_LOADERS[name];
  return later(className, load);
}

/**
 * The scheduler that a configuration (the content of scheduler_config.json) describes.
 *
 * @param file what it was read from, for messages.
 * @throws ConfigError for what is no configuration, a class that is not known, and settings that are wrong or not
 *   supported.
 */
export async function schedulerFromConfig(config: unknown, file?: string): Promise<Scheduler> {
  const place = file === undefined ? {} : { file };
  if (!isRecord(config))
    throw new ConfigError('it is not an object of settings', {
      ...place,
      remedy: 'Use the scheduler_config.json that was published with the model',
    });
  const entries: readonly SchedulerEntry[] = Object.values(SCHEDULER_LOADERS);
  const known = entries.find(({ className }) => className === config._class_name);
  if (known === undefined)
    throw new ConfigError(`${JSON.stringify(config._class_name)} is not a scheduler that is supported`, {
      ...place,
      field: '_class_name',
      remedy: `Choose one of ${entries.map(({ className }) => className).join(', ')}`,
    });
  return (await later(known.className, known.load)).fromConfig(config, {}, file);
}

/**
 * The configuration as diffusers' Stable Diffusion pipelines (not SDXL's) change it when they are built:
 * `steps_offset` becomes 1 and `clip_sample` false, where the scheduler has them. Like those pipelines, apply it to
 * the model's own scheduler only and not to one that the user assigns later.
 *
 * @throws ConfigError as `schedulerFromConfig`.
 */
export async function forStableDiffusion(config: unknown, file?: string): Promise<SchedulerConfig> {
  const { config: resolved } = await schedulerFromConfig(config, file);
  return {
    ...(isRecord(config) ? config : {}),
    ...(resolved.steps_offset !== undefined && { steps_offset: 1 }),
    ...(resolved.clip_sample !== undefined && { clip_sample: false }),
  };
}

/** Whether something read is an object of settings. */
export function isRecord(value: unknown): value is SchedulerConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
