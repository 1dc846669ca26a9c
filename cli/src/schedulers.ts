/** @file The names that --scheduler takes. */
import {
  DDIMScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
} from 'calotype';

/** Short names of the schedulers. */
export const SCHEDULER_NAMES = ['ddim', 'euler', 'euler-ancestral', 'dpm++'] as const;
export type SchedulerName = (typeof SCHEDULER_NAMES)[number];

/** The scheduler class of each name. */
export const SCHEDULERS = {
  ddim: DDIMScheduler,
  euler: EulerDiscreteScheduler,
  'euler-ancestral': EulerAncestralDiscreteScheduler,
  'dpm++': DPMSolverMultistepScheduler,
} satisfies Record<SchedulerName, unknown>;
