/** @file The options of calls that ControlNets control. */

import type { Pictures, Tensor } from '../options/call-options.ts';

/** Options of pipelines that were loaded with `controlnet`; lists have one entry for each net. */
export interface ControlOptions {
  /**
   * What each net sees: a picture, or one for each prompt, or an array [n, height, width, channels], usually of 0..1 (nets
   * for inpainting take -1 where to paint). For several nets a list of those, one for each net, with null for nets that do
   * not take part; without any, none does. It is resized to the size of the call, which by default is its own or that of `image`.
   */
  readonly controlImage?: Pictures | Tensor | readonly (Pictures | Tensor | null)[];
  /** How much of what the nets say is added. Default 1; with `image` 0.8, for inpainting 0.5 (SDXL 1). */
  readonly controlnetConditioningScale?: number | readonly number[];
  /** The part of the steps in which the nets take part, 0 to 1. Default 0. */
  readonly controlGuidanceStart?: number | readonly number[];
  /** Default 1. */
  readonly controlGuidanceEnd?: number | readonly number[];
  /** The nets take part in the prompt's half of the guidance only, the less the finer the level. Default false. */
  readonly guessMode?: boolean;
}

export const CONTROL_OPTIONS = [
  'controlImage',
  'controlnetConditioningScale',
  'controlGuidanceStart',
  'controlGuidanceEnd',
  'guessMode',
] as const satisfies readonly (keyof ControlOptions)[];
