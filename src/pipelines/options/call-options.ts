/** @file What a pipeline call takes; which of it a pipeline class takes is its own choice. */

import type { CalotypeImage } from '../../image/image.ts';
import type { PromptSyntax } from '../../text/prompt-tokens.ts';
import type { ControlOptions } from '../control/control-options.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { HiresOptions } from '../image/hires-options.ts';
import type { ImagePromptOptions } from '../ip-adapter/image-prompt-options.ts';

/** A tensor given by or to the user: images are [images, channels, height, width]. */
export interface Tensor {
  /** Slowest dimension first. */
  readonly shape: readonly number[];
  /** As many values as the shape says, row-major. */
  readonly data: Float32Array;
}

/** A seed for torch's CPU generator, or for its CUDA generator. */
export type Seed = number | { readonly seed: number; readonly device: 'cpu' | 'cuda' };

/** One picture, or several. */
export type Pictures = CalotypeImage | readonly CalotypeImage[];

/** What `callbackOnStepEnd` is told. */
export interface StepInfo {
  /** Counts from 0. */
  readonly index: number;
  /** Steps of the run: calls of the network. */
  readonly total: number;
  /** What the network was told, from about 1000 (noise) down to 0. */
  readonly timestep: number;
}

/** What `callbackOnStepEnd` is given: a step that the device has finished. */
export interface FinishedStep extends StepInfo {
  /** The latents after this step, [images, channels, height / 8, width / 8]; ask before the callback is done. */
  latents(): Promise<Tensor>;
}

/** What `callbackOnStepEnd` changes. */
export interface StepChange {
  /** Goes on with these in place of the step's own, which they must have the shape of. */
  readonly latents?: Tensor;
}

/** What is to be drawn, in words or as their embeddings. */
export interface TextOptions {
  /** One prompt, or one for each image (times `numImagesPerPrompt`). */
  readonly prompt?: string | readonly string[];
  /** SDXL: what the second text encoder reads; default `prompt`. */
  readonly prompt2?: string | readonly string[];
  /** What to steer away from; used when guidanceScale is over 1. */
  readonly negativePrompt?: string | readonly string[];
  /** SDXL: default `negativePrompt`. */
  readonly negativePrompt2?: string | readonly string[];
  /**
   * How prompts are read. 'plain', the default, as diffusers does: words, and what is too long for the text encoder is cut
   * off. 'webui' as stable-diffusion-webui does: attention weights `(word:1.3)`, prompts of any length in chunks of 75
   * tokens, `BREAK`, `[from:to:when]`, `[a|b]` and `<lora:name:0.8>`. `AND` is refused.
   */
  readonly promptSyntax?: PromptSyntax;
  /** Layers of CLIP to leave out at the end; default none. It does not apply to negative prompts, as in diffusers. */
  readonly clipSkip?: number;
  /** Text embeddings in place of `prompt`: [prompts, tokens, channels]. */
  readonly promptEmbeds?: Tensor;
  /** The same in place of `negativePrompt`, of the shape of `promptEmbeds`. */
  readonly negativePromptEmbeds?: Tensor;
  /** SDXL: [prompts, channels]; needed with `promptEmbeds`, and in place of its own with `prompt`. */
  readonly pooledPromptEmbeds?: Tensor;
  /** The same for `negativePromptEmbeds`. */
  readonly negativePooledPromptEmbeds?: Tensor;
  /** PixArt: which tokens of `promptEmbeds` are seen (1) or not (0), [prompts, tokens]; needed with them. */
  readonly promptAttentionMask?: Tensor;
  /** The same for `negativePromptEmbeds`. */
  readonly negativePromptAttentionMask?: Tensor;
  /** PixArt: tokens that prompts are cut off at or padded to. Default 120. */
  readonly maxSequenceLength?: number;
  /**
   * PixArt: prompts are lower-cased and stripped of white space, as diffusers does by default where BeautifulSoup and ftfy are
   * not installed. Its cleaning with these is not offered: true is an error, false (like leaving it out) is that default.
   */
  readonly cleanCaption?: boolean;
}

/** Options of a call; the names are diffusers' in camelCase. */
export interface CallOptions extends TextOptions, ControlOptions, ImagePromptOptions {
  /**
   * Pixels, a multiple of 8; default the size the model was trained at, or for image-to-image that of the image,
   * rounded down. An image of another size is resized: pictures with Lanczos as Pillow does, arrays by nearest pixel.
   */
  readonly height?: number;
  /** As `height`. */
  readonly width?: number;
  /**
   * Begins with this image instead of noise alone: pictures (alpha is dropped), an array [n, height, width, 3] of
   * values in 0..1, or latents [n, channels, height / 8, width / 8]. Several images are dealt out to the images of
   * the call in turn.
   */
  readonly image?: Pictures | Tensor;
  /**
   * Inpainting: where to paint `image` anew, from half brightness (white) on; pictures, or an array [n, height, width]
   * or [n, height, width, 1] in 0..1. UNets made for inpainting need it; others keep what is outside by blending.
   */
  readonly maskImage?: Pictures | Tensor;
  /**
   * Paints the part around the mask, with this many pixels more on each side, at the size of the call, and puts it back
   * into the picture. For one picture and a mask of its size.
   */
  readonly paddingMaskCrop?: number;
  /**
   * How much of the schedule is run on an image, 0 to 1; 1 keeps least of it. Default 0.8, SDXL 0.3 (with
   * ControlNets 0.8); for inpainting 1 (the image is replaced by noise), SDXL 0.9999.
   */
  readonly strength?: number;
  /**
   * SDXL: takes over at this share of the schedule from a run with `denoisingEnd`, whose latents are the `image`; no
   * noise is added and `strength` is not used.
   */
  readonly denoisingStart?: number;
  /** SDXL: stops at this share of the schedule and gives (with outputType 'latent') what another run takes over. */
  readonly denoisingEnd?: number;
  /** Denoising steps of the whole schedule, 1 to 10000. Default 50, PixArt 20, LatentConsistencyModelPipeline 4, x4 upscaler 75. */
  readonly numInferenceSteps?: number;
  /**
   * PixArt: draws at the trained size of the nearest aspect ratio, and resizes and crops the picture to the size asked for.
   * Default true; only for models of 256, 512 and 1024 pixels.
   */
  readonly useResolutionBinning?: boolean;
  /**
   * x4 upscaler: how much noise is put on the picture, a timestep; more lets the model invent more. Default 20, at most
   * the model's `max_noise_level`.
   */
  readonly noiseLevel?: number;
  /** LatentConsistencyModelPipeline: steps of the grid that the model was distilled to; default the scheduler's. */
  readonly originalInferenceSteps?: number;
  /** Timesteps in place of the scheduler's spacing; not together with `sigmas`. */
  readonly timesteps?: readonly number[];
  /** Sigmas in place of the scheduler's spacing. */
  readonly sigmas?: readonly number[];
  /**
   * Weight of the prompt (Ho and Salimans 2022); 1 or less turns guidance off. Default 7.5, SDXL 5 (inpainting without
   * ControlNets 7.5), PixArt 4.5, LatentConsistencyModelPipeline 8.5, x4 upscaler 9.
   */
  readonly guidanceScale?: number;
  /** Against overexposure by guidance (Lin et al. 2023, section 3.4): share of the rescaled prediction, 0 to 1; default 0. */
  readonly guidanceRescale?: number;
  /**
   * Perturbed-attention guidance (Ahn et al. 2024): how far to go away from what the model draws when the pixels of some
   * layers see only themselves. 3 is usual; 0, the default, is none. It works without a prompt's guidance too, and costs
   * one more image in the batch.
   */
  readonly pagScale?: number;
  /** By how much pagScale shrinks with each timestep from 1000 down, to 0 at least; default 0. */
  readonly pagAdaptiveScale?: number;
  /** Layers whose self-attention is perturbed: parts of their names, or regular expressions. Default 'mid'. */
  readonly pagAppliedLayers?: string | readonly string[];
  /**
   * DeepCache (Ma et al. 2023): only at every so many calls of the UNet are its deep features computed; the others take those
   * that are kept and run its outermost layers alone. Faster, and **it changes the picture**: the more, the fewer steps there
   * are. Default 1: none are kept.
   */
  readonly cacheInterval?: number;
  /** DDIM's noise, 0 to 1; default 0. */
  readonly eta?: number;
  /** One generator for all images, or one for each; default a random seed, which the result tells. */
  readonly seed?: Seed | readonly Seed[];
  /** Images drawn for each prompt, 1 to 1024. Default 1. */
  readonly numImagesPerPrompt?: number;
  /** Initial noise [images, channels, height / 8, width / 8], scaled by the scheduler's initial sigma. */
  readonly latents?: Tensor;
  /** SDXL: the [height, width] that a training picture would have had before it was cropped. Default that of the call. */
  readonly originalSize?: readonly [number, number];
  /** SDXL: the [top, left] pixel that it would have been cropped from; [0, 0], the default, centres what is drawn. */
  readonly cropsCoordsTopLeft?: readonly [number, number];
  /** SDXL: the [height, width] that it would have been cropped to. Default that of the call. */
  readonly targetSize?: readonly [number, number];
  /** What to steer away from; takes part with `negativeTargetSize` only, or with an image. Default that of the prompt. */
  readonly negativeOriginalSize?: readonly [number, number];
  /** Default [0, 0]; takes part with both negative sizes only, or in refiners. */
  readonly negativeCropsCoordsTopLeft?: readonly [number, number];
  /** As `negativeOriginalSize`. */
  readonly negativeTargetSize?: readonly [number, number];
  /** SDXL refiners: how pleasing the picture is to be, 1 to 10; default 6. */
  readonly aestheticScore?: number;
  /** The same for what to steer away from; default 2.5. */
  readonly negativeAestheticScore?: number;
  /** Draws over the picture at a larger size, for text to image. Default: not. */
  readonly hires?: HiresOptions;
  /** `images` as pictures, `np` as floats in 0..1, or `latents` alone without decoding. Default 'image'. */
  readonly outputType?: 'image' | 'np' | 'latent';
  /** Adds the final latents to the result. Default false. */
  readonly returnLatents?: boolean;
  /**
   * Goes on from a step of an earlier call with the same options, on this device or another of its kind: the result is that of
   * the undisturbed run, bit for bit. Not with `hires`.
   */
  readonly resumeFrom?: Checkpoint;
  /**
   * Called after each step; the run waits for what it returns, and goes on with the latents in that, if any. The scheduler's
   * record of steps before stays as it is, as in diffusers. Such calls share no batch with others.
   */
  readonly callbackOnStepEnd?: (
    step: FinishedStep,
  ) => StepChange | undefined | void | Promise<StepChange | undefined | void>;
  /** Stops the run within a step. */
  readonly signal?: AbortSignal;
}

/** Options with defaults filled in and everything checked. */
export interface CheckedOptions extends CallOptions {
  readonly height: number;
  readonly width: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  readonly guidanceRescale: number;
  readonly eta: number;
  readonly numImagesPerPrompt: number;
  readonly outputType: 'image' | 'np' | 'latent';
}

/** Defaults that differ between pipeline classes and tasks. */
export interface OptionDefaults {
  readonly guidanceScale: number;
  /** Default 50. */
  readonly numInferenceSteps?: number;
  /** PixArt's. */
  readonly useResolutionBinning?: boolean;
  /** The x4 upscaler's. */
  readonly noiseLevel?: number;
  readonly maxNoiseLevel?: number;
  /** Present where there is an image. */
  readonly strength?: number;
  readonly height: number;
  readonly width: number;
}
