/** @file The checks on a pipeline call's options, and diffusers' defaults. */

import { checkCheckpoint } from '../checkpoint.ts';
import { CONTROL_OPTIONS } from '../control/control-options.ts';
import { IMAGE_PROMPT_OPTIONS } from '../ip-adapter/image-prompt-options.ts';
import type { CallOptions, CheckedOptions, OptionDefaults } from './call-options.ts';
import {
  checkFlag,
  checkFunction,
  checkNumbers,
  checkPair,
  checkSide,
  checkSignal,
  checkTensor,
  inRange,
  refuse,
} from './checks.ts';
import { checkTaken, type FamilyMember } from '../families/families.ts';
import { checkTextOptions, imageCount, TEXT_OPTIONS } from './text-options.ts';

/** Every option that exists; which of them a pipeline class takes is its own choice. */
const KNOWN = [
  ...TEXT_OPTIONS,
  'height',
  'width',
  'image',
  'maskImage',
  'paddingMaskCrop',
  'strength',
  'denoisingStart',
  'denoisingEnd',
  'numInferenceSteps',
  'useResolutionBinning',
  'noiseLevel',
  'originalInferenceSteps',
  'timesteps',
  'sigmas',
  'guidanceScale',
  'guidanceRescale',
  'pagScale',
  'pagAdaptiveScale',
  'pagAppliedLayers',
  'cacheInterval',
  'eta',
  'seed',
  'numImagesPerPrompt',
  'latents',
  'originalSize',
  'cropsCoordsTopLeft',
  'targetSize',
  'negativeOriginalSize',
  'negativeCropsCoordsTopLeft',
  'negativeTargetSize',
  'aestheticScore',
  'negativeAestheticScore',
  'hires',
  'outputType',
  'returnLatents',
  'resumeFrom',
  'callbackOnStepEnd',
  'signal',
  ...CONTROL_OPTIONS,
  ...IMAGE_PROMPT_OPTIONS,
] as const satisfies readonly (keyof CallOptions)[];

/**
 * Checks a call's options and fills in defaults, before anything is allocated.
 * @param granularity pixels that sizes must be a multiple of
 * @param member whose pipeline is called
 * @throws OptionError naming the option and the remedy
 */
export function checkOptions(
  options: CallOptions,
  defaults: OptionDefaults,
  granularity: number,
  member: FamilyMember,
): CheckedOptions {
  checkTaken(member, options, KNOWN);
  const { maxNoiseLevel = 0, ...callDefaults } = defaults;
  const checked: CheckedOptions = {
    numInferenceSteps: 50,
    guidanceRescale: 0,
    eta: 0,
    numImagesPerPrompt: 1,
    outputType: 'image',
    ...callDefaults,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  };
  for (const field of ['height', 'width'] as const) {
    // A picture of any size can be cut out of one of a trained size.
    checkSide(field, checked[field], granularity, checked.useResolutionBinning === true ? 1 : granularity);
  }
  checkFlag('useResolutionBinning', checked.useResolutionBinning);
  inRange('numInferenceSteps', checked.numInferenceSteps, 1, 10000, true);
  inRange('noiseLevel', checked.noiseLevel, 0, maxNoiseLevel, true);
  inRange('originalInferenceSteps', checked.originalInferenceSteps, 1, 10000, true);
  inRange('guidanceScale', checked.guidanceScale, -1e4, 1e4, false);
  inRange('guidanceRescale', checked.guidanceRescale, 0, 1, false);
  inRange('pagScale', checked.pagScale, 0, 1e4, false);
  inRange('pagAdaptiveScale', checked.pagAdaptiveScale, 0, 1e4, false);
  inRange('cacheInterval', checked.cacheInterval, 1, 10000, true);
  inRange('eta', checked.eta, 0, 1, false);
  inRange('strength', checked.strength, 0, 1, false);
  if (checked.strength !== undefined && checked.image === undefined)
    refuse('strength', 'it was given without an image', 'Give the image too, or leave strength out');
  checkHandOver(checked);
  inRange('aestheticScore', checked.aestheticScore, -1e4, 1e4, false);
  inRange('negativeAestheticScore', checked.negativeAestheticScore, -1e4, 1e4, false);
  inRange('numImagesPerPrompt', checked.numImagesPerPrompt, 1, 1024, true);
  checkTensor('latents', checked.latents);
  checkNumbers('timesteps', checked.timesteps);
  checkNumbers('sigmas', checked.sigmas);
  checkFlag('returnLatents', checked.returnLatents);
  checkFunction('callbackOnStepEnd', checked.callbackOnStepEnd);
  checkSignal(checked.signal);
  checkCheckpoint(checked.resumeFrom);
  checkTextOptions(checked);
  const { seed = checked.resumeFrom?.seed } = checked;
  checkSeed(seed, imageCount(checked));
  for (const field of [
    'originalSize',
    'cropsCoordsTopLeft',
    'targetSize',
    'negativeOriginalSize',
    'negativeCropsCoordsTopLeft',
    'negativeTargetSize',
  ] as const)
    checkPair(field, checked[field]);
  if (!['image', 'np', 'latent'].includes(checked.outputType))
    refuse('outputType', `"${checked.outputType}" is not an output type`, "Use 'image', 'np' or 'latent'");
  if (checked.timesteps !== undefined && checked.sigmas !== undefined)
    refuse('timesteps', 'it was given together with sigmas', 'Give one of the two');
  return checked;
}

/** @throws OptionError unless it is a seed, or a list with one for each image. */
function checkSeed(seed: unknown, images: number): void {
  if (seed === undefined) return;
  const seeds: readonly unknown[] = Array.isArray(seed) ? seed : [seed];
  const isSeed = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return Number.isSafeInteger(value);
    const device: unknown = Reflect.get(value, 'device');
    return Number.isSafeInteger(Reflect.get(value, 'seed')) && (device === 'cpu' || device === 'cuda');
  };
  if (seeds.length === 0 || !seeds.every(isSeed))
    refuse(
      'seed',
      `${JSON.stringify(seed)} is no seed`,
      "Give a whole number between -2^53 and 2^53, { seed, device: 'cpu' or 'cuda' }, or a list with one for each image",
    );
  if (Array.isArray(seed) && seeds.length !== images)
    refuse('seed', `it has ${seeds.length} seeds for ${images} images`, `Give one seed, or ${images}`);
}

/** The shares of the schedule between which a run works. */
function checkHandOver({ denoisingStart, denoisingEnd, image, latents }: CheckedOptions): void {
  inRange('denoisingStart', denoisingStart, 0, 1, false);
  inRange('denoisingEnd', denoisingEnd, 0, 1, false);
  if (denoisingStart === undefined) return;
  if (image === undefined)
    refuse('denoisingStart', 'it was given without an image', 'Give the latents to go on from as the image');
  if (latents !== undefined)
    refuse('latents', 'a run that takes over goes on from its image', 'Give the latents as the image');
  if (denoisingEnd !== undefined && denoisingStart >= denoisingEnd)
    refuse(
      'denoisingStart',
      `${denoisingStart} is not before denoisingEnd, ${denoisingEnd}`,
      'Give a smaller share, or leave denoisingEnd out',
    );
}
