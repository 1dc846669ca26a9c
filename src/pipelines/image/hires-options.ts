/** @file The option `hires` of calls: a second pass at a larger size. */

/**
 * Ways to enlarge, by stable-diffusion-webui's names: latents, as torch's `interpolate` does by the mode in the name (`latent`
 * is bilinear), or with `lanczos` the picture.
 */
export const HIRES_UPSCALERS = [
  'latent',
  'latent-antialiased',
  'latent-bicubic',
  'latent-bicubic-antialiased',
  'latent-nearest',
  'latent-nearest-exact',
  'lanczos',
] as const;
/** One of `HIRES_UPSCALERS`. */
export type HiresUpscaler = (typeof HIRES_UPSCALERS)[number];

/** The second pass of a call. */
export interface HiresOptions {
  /** How many times as high and wide, over 1; rounded down to what the model can draw. Default 2. */
  readonly scale?: number;
  /** The size itself, in pixels, in place of `scale`; `height` and `width` are both needed. */
  readonly height?: number;
  /** As `height`. */
  readonly width?: number;
  /** How it is enlarged; default `latent`. */
  readonly upscaler?: HiresUpscaler;
  /** How much of the schedule is run on the enlarged picture, 0 to 1, as `strength` of image-to-image. Default 0.7. */
  readonly strength?: number;
  /** Steps of the whole schedule of the second pass, of which `strength` are run. Default: those of the call. */
  readonly numInferenceSteps?: number;
}
