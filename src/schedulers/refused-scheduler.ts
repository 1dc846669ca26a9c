/**
 * @file What stands for a model's own scheduler whose configuration is refused, until another takes its place: diffusers, too,
 * opens such models, and fails where the scheduler is used.
 */

import { ConfigError } from '../errors.ts';
import { forStableDiffusion, isRecord } from './load.ts';
import type { Scheduler, SchedulerConfig } from './scheduler.ts';

/** What diffusers' Stable Diffusion pipelines force on a scheduler that has these settings. */
const FORCED = { steps_offset: 1, clip_sample: false };

/** A configuration as it stands, with what `forStableDiffusion` changes. */
async function changed(config: SchedulerConfig): Promise<SchedulerConfig> {
  const own = Object.entries(FORCED).filter(([name]) => Object.hasOwn(config, name));
  // Of a class that is known, the settings that the file leaves out count, too.
  const defaults = await forStableDiffusion({ _class_name: config['_class_name'] }).catch(() => ({}));
  return { ...config, ...defaults, ...Object.fromEntries(own) };
}

/**
 * @param error why it was refused, which everything but its configuration throws; thrown now unless it is a ConfigError of a
 * configuration
 */
export async function refusedScheduler(
  config: unknown,
  isStableDiffusion: boolean,
  error: unknown,
  notices: string[],
): Promise<Scheduler> {
  if (!(error instanceof ConfigError) || !isRecord(config)) throw error;
  notices.push(`the model's own scheduler cannot be used. ${error.message}`);
  const refuse = (): never => {
    throw error;
  };
  return {
    config: isStableDiffusion ? await changed(config) : config,
    setTimesteps: refuse,
    steps: refuse,
    noiseCoefficients: refuse,
    get slots() {
      return refuse();
    },
    get order() {
      return refuse();
    },
    get timesteps() {
      return refuse();
    },
    get initNoiseSigma() {
      return refuse();
    },
  };
}
