/**
 * @file Hires fix: a picture is drawn at a size that the model knows, enlarged, and drawn over at the larger size, as
 * stable-diffusion-webui does it (modules/processing.py, `sample_hr_pass`). Both passes are calls of their own with the same
 * seed: text to image, then image to image.
 */

import { resizeLatents, type LatentMode } from '../../image/resize-latents.ts';
import { HIRES_UPSCALERS, type HiresOptions, type HiresUpscaler } from './hires-options.ts';
import { checkOptionNames } from '../../option-names.ts';
import type { CallOptions, Tensor } from '../options/call-options.ts';
import { checkSide, inRange, refuse } from '../options/checks.ts';
import type { PipelineOutput } from '../draw.ts';
import { largerMemory } from '../memory/used-memory.ts';
import { randomSeed } from '../noise.ts';

/** How latents are enlarged. */
const LATENT_MODES: Readonly<Record<Exclude<HiresUpscaler, 'lanczos'>, LatentMode>> = {
  latent: 'bilinear',
  'latent-antialiased': 'bilinear-antialiased',
  'latent-bicubic': 'bicubic',
  'latent-bicubic-antialiased': 'bicubic-antialiased',
  'latent-nearest': 'nearest',
  'latent-nearest-exact': 'nearest-exact',
};

const OPTIONS = [
  'scale',
  'height',
  'width',
  'upscaler',
  'strength',
  'numInferenceSteps',
] as const satisfies readonly (keyof HiresOptions)[];
const STRENGTH = 0.7;
const SCALE = 2;

/** Options of the first pass that the second has otherwise. */
const FIRST_ONLY = [
  'latents',
  'timesteps',
  'sigmas',
  'numInferenceSteps',
  'height',
  'width',
] as const satisfies readonly (keyof CallOptions)[];
/** Options of calls that have no two passes. */
const OTHER_TASKS = [
  'image',
  'maskImage',
  'denoisingStart',
  'denoisingEnd',
] as const satisfies readonly (keyof CallOptions)[];

/** The passes of a call. */
export interface HiresPasses {
  readonly first: CallOptions;
  /** The second, for what the first made. */
  second(output: PipelineOutput): CallOptions;
}

/**
 * The two passes of a call.
 * @param granularity pixels to a latent
 * @throws OptionError naming the option
 */
export function hiresPasses(options: CallOptions, hires: HiresOptions, granularity: number): HiresPasses {
  const { hires: _hires, ...call } = options;
  if (typeof hires !== 'object' || hires === null)
    return refuse('hires', 'it is no object', 'Give an object such as { scale: 2 }');
  checkOptionNames('hires', hires, OPTIONS);
  if (call.resumeFrom) refuse('resumeFrom', 'a run with hires has two passes', 'Begin it again');
  for (const name of OTHER_TASKS)
    if (call[name] !== undefined)
      refuse(
        'hires',
        `it was given together with ${name}`,
        'Draw the picture first, then give it as the image',
      );
  const { upscaler = 'latent', strength = STRENGTH, numInferenceSteps = call.numInferenceSteps } = hires;
  if (!HIRES_UPSCALERS.includes(upscaler))
    refuse('hires.upscaler', `"${upscaler}" is none`, `Use ${HIRES_UPSCALERS.join(', ')}`);
  checkSize(hires, granularity);
  inRange('hires.strength', hires.strength, 0, 1, false);
  inRange('hires.numInferenceSteps', hires.numInferenceSteps, 1, 10000, true);
  const seed = call.seed ?? randomSeed();
  const { outputType: _outputType, returnLatents: _returnLatents, ...drawn } = call;
  return {
    first: { ...drawn, seed, outputType: upscaler === 'lanczos' ? 'image' : 'latent' },
    second({ options: used, images, latents }) {
      const size = sizeOf(hires, used, granularity);
      const rest = Object.fromEntries(Object.entries(call).filter(([name]) => !isFirstOnly(name)));
      return {
        ...rest,
        ...(numInferenceSteps !== undefined && { numInferenceSteps }),
        ...size,
        seed,
        strength,
        image:
          upscaler === 'lanczos' || !latents
            ? images
            : enlarged(latents, size, granularity, LATENT_MODES[upscaler]),
      };
    },
  };
}

/** What a call of two passes gives: the second's pictures, the options of the call, and time and memory of both. */
export function withFirstPass(
  second: PipelineOutput,
  first: PipelineOutput,
  { hires, outputType = 'image' }: CallOptions,
): PipelineOutput {
  const [before, after] = [first.timings, second.timings];
  return {
    ...second,
    ...largerMemory(second, first),
    options: { ...first.options, outputType, ...(hires && { hires }) },
    timings: {
      compile: before.compile + after.compile,
      encode: before.encode + after.encode,
      denoise: before.denoise + after.denoise,
      decode: before.decode + after.decode,
    },
  };
}

function isFirstOnly(name: string): boolean {
  return FIRST_ONLY.some((other) => other === name);
}

/** Before the first pass is drawn: the second one's own checks would come too late. */
function checkSize({ scale, height, width }: HiresOptions, granularity: number): void {
  const sizes = [height, width].filter((side) => side !== undefined);
  if (sizes.length === 1) refuse('hires', 'of height and width only one was given', 'Give both, or a scale');
  for (const [field, side] of Object.entries({ height, width }))
    checkSide(`hires.${field}`, side, granularity);
  if (scale === undefined) return;
  if (sizes.length > 0)
    refuse('hires.scale', 'it was given together with height and width', 'Give one of them');
  if (typeof scale !== 'number' || !(scale > 1 && scale <= 16))
    refuse('hires.scale', `${JSON.stringify(scale)} is not over 1 and up to 16`, 'Give a number such as 2');
}

interface PictureSize {
  readonly height: number;
  readonly width: number;
}

function sizeOf(
  { scale = SCALE, height, width }: HiresOptions,
  used: PictureSize,
  granularity: number,
): PictureSize {
  if (height !== undefined && width !== undefined) return { height, width };
  const larger = (side: number): number => Math.floor((side * scale) / granularity) * granularity;
  return { height: larger(used.height), width: larger(used.width) };
}

function enlarged({ shape, data }: Tensor, size: PictureSize, granularity: number, mode: LatentMode): Tensor {
  const [images, channels, height, width] = shape;
  const [newHeight, newWidth] = [size.height / granularity, size.width / granularity];
  return {
    shape: [images, channels, newHeight, newWidth],
    data: resizeLatents(
      data,
      [images, channels, height, width],
      { height: Math.floor(newHeight), width: Math.floor(newWidth) },
      mode,
    ),
  };
}
