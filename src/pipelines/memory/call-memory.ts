/** @file What a call takes on the device, phase by phase: what its residency is planned from. */

import type { ComponentDemands, PhaseDemand, PhaseOption } from '../../plan/residency.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import type { DenoiseShape } from '../denoise/denoise-parts.ts';
import type { TextToImageParts } from '../draw.ts';
import type { GuidanceKinds } from '../guidance/guidance-rows.ts';
import { isInpaintingUNet, type Task } from '../options/image-options.ts';
import type { CheckedOptions } from '../options/call-options.ts';

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

/** The number of prompts in a call's options. */
export function promptCount({ prompt, promptEmbeds }: CheckedOptions): number {
  return promptEmbeds?.shape[0] ?? (typeof prompt === 'string' ? 1 : (prompt?.length ?? 1));
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

/** The phase in which prompts are encoded. */
export function textPhase(conditioner: Conditioner, options: Pick<CheckedOptions, 'clipSkip'>): PhaseDemand {
  const demands = (): ComponentDemands => conditioner.demands(options);
  return { phase: 'text', options: [{ kind: 'exact', label: 'prompts encoded', demands }] };
}

/**
 * The phases of a call.
 * @param tokens of its text embeddings; default what is known before prompts are encoded
 */
export function phasesOf(parts: TextToImageParts, call: CallShape, tokens?: number): PhaseDemand[] {
  const { conditioner, denoiser, unet, vae } = parts;
  const { options, task, guided } = call;
  const { promptEmbeds, negativePromptEmbeds, outputType } = options;
  const shape = denoiseShape(parts, call, tokens ?? promptEmbeds?.shape[1] ?? conditioner.tokens);
  const latents = [shape.images, unet.outChannels, shape.height, shape.width] as const;
  const encodesText = !promptEmbeds || (guided && !negativePromptEmbeds);
  const encodesImage = task.kind === 'inpaint' || (task.kind === 'image' && task.image.kind !== 'latents');
  const imageDemands = parts.imagePrompts?.demands();
  const steps = (lossy: boolean): PhaseOption => ({
    kind: lossy ? 'lossy' : 'exact',
    label: lossy ? 'weights of the denoising network held as float8' : 'steps',
    demands: () => new Map([[denoiser.network.name, denoiser.demands(shape, call.steps, lossy)]]),
    apply: () => denoiser.network.holdFloat8(lossy),
  });
  return [
    ...(encodesText ? [textPhase(conditioner, options)] : []),
    ...(imageDemands && imageDemands.size > 0
      ? [
          {
            phase: 'imagePrompts' as const,
            options: [
              { kind: 'exact' as const, label: 'image prompts encoded', demands: () => imageDemands },
            ],
          },
        ]
      : []),
    ...(encodesImage ? [{ phase: 'image' as const, options: vae.options('encode', latents) }] : []),
    {
      phase: 'denoise',
      options: parts.residency?.budget.lossy ? [steps(false), steps(true)] : [steps(false)],
    },
    ...(outputType === 'latent'
      ? []
      : [{ phase: 'decode' as const, options: vae.options('decode', latents) }]),
  ];
}
