/** @file The ControlNets of a call: the options read and checked, with diffusers' defaults. */

import type { ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import type { ControlStructure } from './control-graph.ts';
import type { CONTROL_OPTIONS, ControlOptions } from './control-options.ts';
import type { CallOptions } from '../options/call-options.ts';
import { readControlImage } from '../options/added-pictures.ts';
import type { PixelSource, Task } from '../options/image-options.ts';
import { refuse } from '../options/checks.ts';

/** The nets that take part in a call; every list has an entry for each. */
export interface Control {
  readonly nets: readonly ControlStructure[];
  readonly images: readonly PixelSource[];
  readonly scales: readonly number[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** Only rows with the prompt are controlled; given by `guessMode`, or by the first net's configuration. */
  readonly promptOnly: boolean;
}

/** Weights of the nets where none are given, by diffusers' pipeline classes. */
function defaultScale(kind: Task['kind'], xl: boolean): number {
  if (kind === 'inpaint') return xl ? 1 : 0.5;
  return kind === 'image' ? 0.8 : 1;
}

/**
 * Whether nets with `global_pool_conditions` control only rows with the prompt: not where SDXL inpaints, nor under perturbed
 * attention unless Stable Diffusion makes or changes a picture (!).
 */
function poolsPromptOnly(kind: Task['kind'], xl: boolean, perturbed: boolean): boolean {
  return !(kind === 'inpaint' && (xl || perturbed)) && !(xl && perturbed);
}

/**
 * The control of a call; undefined where every net's picture is null.
 * @param given an option that was given
 * @param nets the nets that the pipeline was loaded with
 * @throws OptionError naming the option
 */
export function readControl(
  options: ControlOptions & Pick<CallOptions, 'pagScale'>,
  given: string,
  nets: readonly ControlNetConfig[],
  task: Task,
  xl: boolean,
): Control | undefined {
  const { controlImage, guessMode = false, pagScale = 0 } = options;
  if (controlImage === undefined)
    refuse(
      'controlImage',
      `${given} was given without it`,
      'Give the picture that the ControlNet is to follow',
    );
  if (typeof guessMode !== 'boolean')
    refuse('guessMode', 'it is neither true nor false', 'Give true or false');
  const perNet = (field: (typeof CONTROL_OPTIONS)[number], value: unknown, byDefault: number): number[] => {
    const list: readonly unknown[] = Array.isArray(value) ? value : nets.map(() => value ?? byDefault);
    const numbers = list.filter((each) => typeof each === 'number' && Number.isFinite(each));
    if (numbers.length !== nets.length || list.length !== nets.length)
      refuse(
        field,
        `it is not a number, or one for each of ${nets.length} nets`,
        'Give a number, or a list of them',
      );
    return numbers.map(Number);
  };
  const starts = perNet('controlGuidanceStart', options.controlGuidanceStart, 0);
  const ends = perNet('controlGuidanceEnd', options.controlGuidanceEnd, 1);
  starts.forEach((start, i) => {
    if (!(start >= 0 && start < ends[i] && ends[i] <= 1))
      refuse(
        'controlGuidanceStart',
        `${start} to ${ends[i]} is no part of the steps`,
        'Give a start of 0 or more that is less than the end, and an end of at most 1',
      );
  });
  const { controlnetConditioningScale } = options;
  const scales = perNet(
    'controlnetConditioningScale',
    controlnetConditioningScale,
    defaultScale(task.kind, xl),
  );
  const images = readImages(controlImage, nets);
  const taking = nets.flatMap((config, index) => (images[index] ? [{ config, index }] : []));
  if (taking.length === 0) return undefined;
  const ofTaking = (values: readonly number[]): number[] => taking.map(({ index }) => values[index]);
  return {
    nets: taking,
    images: images.filter((image) => image !== undefined),
    scales: ofTaking(scales),
    starts: ofTaking(starts),
    ends: ofTaking(ends),
    promptOnly:
      guessMode || (taking[0].config.globalPoolConditions && poolsPromptOnly(task.kind, xl, pagScale > 0)),
  };
}

/** The picture of each net, if it has one; one net may have it without a list. */
function readImages(
  value: NonNullable<ControlOptions['controlImage']>,
  nets: readonly ControlNetConfig[],
): (PixelSource | undefined)[] {
  const isNested =
    Array.isArray(value) && value.some((each) => each === null || Array.isArray(each) || isTensor(each));
  const list: readonly unknown[] = Array.isArray(value) && (nets.length > 1 || isNested) ? value : [value];
  if (list.length !== nets.length)
    refuse(
      'controlImage',
      `it has ${list.length} entries for ${nets.length} nets`,
      'Give a list with an entry for each net: a picture, a list of one for each prompt, or an array',
    );
  return list.map((each, i) =>
    each === null ? undefined : readControlImage(each, nets[i].conditioningChannels),
  );
}

function isTensor(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'shape' in value;
}
