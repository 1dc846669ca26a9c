/**
 * @file All schedulers, and making one from a model's scheduler_config.json. A new one is a file, its name in the three
 * lists here, and its export from the public API.
 */
import { ConfigError } from '../errors.ts';
import { DDIMScheduler } from './ddim.ts';
import { DDPMScheduler } from './ddpm.ts';
import { DEISMultistepScheduler } from './deis-multistep.ts';
import { DPMSolverMultistepScheduler } from './dpm-solver-multistep.ts';
import { DPMSolverSinglestepScheduler } from './dpm-solver-singlestep.ts';
import { EulerAncestralDiscreteScheduler } from './euler-ancestral-discrete.ts';
import { EulerDiscreteScheduler } from './euler-discrete.ts';
import { HeunDiscreteScheduler } from './heun-discrete.ts';
import { KDPM2AncestralDiscreteScheduler } from './kdpm2-ancestral-discrete.ts';
import { KDPM2DiscreteScheduler } from './kdpm2-discrete.ts';
import { LCMScheduler } from './lcm.ts';
import { LMSDiscreteScheduler } from './lms-discrete.ts';
import { PNDMScheduler } from './pndm.ts';
import type { Scheduler, SchedulerConfig } from './scheduler.ts';
import { TCDScheduler } from './tcd.ts';
import { UniPCMultistepScheduler } from './unipc-multistep.ts';

export {
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  KDPM2DiscreteScheduler,
  LCMScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  TCDScheduler,
  UniPCMultistepScheduler,
};

/** What schedulers are made by; each class also has overrides of its own settings. */
export interface SchedulerClass {
  /** diffusers' name of the class, `_class_name` in files. */
  readonly className: string;
  fromConfig(config: SchedulerConfig, overrides?: Readonly<Record<never, never>>, file?: string): Scheduler;
}

/** Scheduler classes by short names. */
export const SCHEDULERS = {
  ddim: DDIMScheduler,
  ddpm: DDPMScheduler,
  deis: DEISMultistepScheduler,
  'dpm++': DPMSolverMultistepScheduler,
  'dpm++-singlestep': DPMSolverSinglestepScheduler,
  dpm2: KDPM2DiscreteScheduler,
  'dpm2-ancestral': KDPM2AncestralDiscreteScheduler,
  euler: EulerDiscreteScheduler,
  'euler-ancestral': EulerAncestralDiscreteScheduler,
  heun: HeunDiscreteScheduler,
  lcm: LCMScheduler,
  lms: LMSDiscreteScheduler,
  pndm: PNDMScheduler,
  tcd: TCDScheduler,
  unipc: UniPCMultistepScheduler,
} satisfies Readonly<Record<string, SchedulerClass>>;

/**
 * The scheduler that a configuration (the content of scheduler_config.json) describes.
 *
 * @param file what it was read from, for messages.
 * @throws ConfigError for what is no configuration, a class that is not known, and settings that are wrong or not
 *   supported.
 */
export function schedulerFromConfig(config: unknown, file?: string): Scheduler {
  const place = file === undefined ? {} : { file };
  if (!isRecord(config))
    throw new ConfigError('it is not an object of settings', {
      ...place,
      remedy: 'Use the scheduler_config.json that was published with the model',
    });
  const classes: readonly SchedulerClass[] = Object.values(SCHEDULERS);
  const known = classes.find(({ className }) => className === config._class_name);
  if (known === undefined)
    throw new ConfigError(`${JSON.stringify(config._class_name)} is not a scheduler that is supported`, {
      ...place,
      field: '_class_name',
      remedy: `Choose one of ${classes.map(({ className }) => className).join(', ')}`,
    });
  return known.fromConfig(config, {}, file);
}

/**
 * The configuration as diffusers' Stable Diffusion pipelines (not SDXL's) change it when they are built:
 * `steps_offset` becomes 1 and `clip_sample` false, where the scheduler has them. Like those pipelines, apply it to
 * the model's own scheduler only and not to one that the user assigns later.
 *
 * @throws ConfigError as `schedulerFromConfig`.
 */
export function forStableDiffusion(config: unknown, file?: string): SchedulerConfig {
  const resolved = schedulerFromConfig(config, file).config;
  return {
    ...(isRecord(config) ? config : {}),
    ...(resolved.steps_offset !== undefined && { steps_offset: 1 }),
    ...(resolved.clip_sample !== undefined && { clip_sample: false }),
  };
}

function isRecord(value: unknown): value is SchedulerConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
