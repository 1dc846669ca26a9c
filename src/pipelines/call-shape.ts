/** @file What is known of a call before anything is computed: what its programs are compiled for. */

import type { DenoiseShape } from './denoise/denoise-parts.ts';
import type { TextToImageParts } from './draw.ts';
import type { GuidanceKinds } from './guidance/guidance-rows.ts';
import { isInpaintingUNet, type Task } from './options/image-options.ts';
import type { CheckedOptions } from './options/call-options.ts';

/** What is known of a call before its prompts are encoded. */
export interface CallShape extends GuidanceKinds {
  readonly options: CheckedOptions;
  readonly task: Task;
  /** Prompts, each of which makes `numImagesPerPrompt` pictures. */
  readonly prompts: number;
  readonly steps: number;
  /** Whether any of them draws noise. */
  readonly noise: boolean;
}

/** What the denoising programs of a call are compiled for. */
export function denoiseShape(parts: TextToImageParts, call: CallShape, tokens: number): DenoiseShape {
  const { unet, vae, scheduler, conditioner, control, freeU, imagePrompts } = parts;
  const { options, task, guided, perturbed, noise, prompts } = call;
  return {
    guided,
    ...(perturbed && { perturbed }),
    rescale: guided && options.guidanceRescale > 0,
    slots: scheduler.slots,
    noise,
    repaint: task.kind === 'inpaint' && !isInpaintingUNet(unet),
    microConditions: conditioner.microConditions,
    ...(control && { controls: control.nets }),
    ...(freeU && { freeU }),
    ...(imagePrompts && { imagePrompts: imagePrompts.structures }),
    ...((options.cacheInterval ?? 1) > 1 && { cacheInterval: options.cacheInterval }),
    images: prompts * options.numImagesPerPrompt,
    height: options.height / vae.scaleFactor,
    width: options.width / vae.scaleFactor,
    tokens,
  };
}
