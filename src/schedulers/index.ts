/**
 * @file All schedulers, as the public API has them. A new one is a file, its name in the two lists here and in that of load.ts.
 */
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
import type { SchedulerClass, SchedulerName } from './load.ts';
import { PNDMScheduler } from './pndm.ts';
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
} satisfies Readonly<Record<SchedulerName, SchedulerClass>>;
