/** @file What a call takes on the device, phase by phase: what its residency is planned from. */

import type { ComponentDemands, PhaseDemand, PhaseOption } from '../../plan/residency.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import type { TextToImageParts } from '../draw.ts';
import { denoiseShape, type CallShape } from '../call-shape.ts';
import type { AdaptableTensors } from '../network.ts';
import { float8Cast } from './float8-cast.ts';
import type { TensorCast } from './tensor-reader.ts';
import type { CheckedOptions } from '../options/call-options.ts';

/** The phase in which prompts are encoded. */
export function textPhase(conditioner: Conditioner, options: Pick<CheckedOptions, 'clipSkip'>): PhaseDemand {
  const demands = (): ComponentDemands => conditioner.demands(options);
  return { phase: 'text', options: [{ kind: 'exact', label: 'prompts encoded', demands }] };
}

/** Looks at a network as if its tensors had other types. */
function castTo<T>(tensors: AdaptableTensors | undefined, cast: TensorCast | undefined, look: () => T): T {
  if (!tensors) return look();
  const { stored } = tensors;
  const was = stored.cast;
  stored.cast = cast;
  try {
    return look();
  } finally {
    stored.cast = was;
  }
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
  const { name, tensors } = denoiser.network;
  const steps = (lossy: boolean): PhaseOption => {
    const cast = lossy && tensors ? float8Cast(tensors.shapes) : undefined;
    return {
      kind: lossy ? 'lossy' : 'exact',
      label: lossy ? 'weights of the denoising network held as float8' : 'steps',
      demands: () => new Map([[name, castTo(tensors, cast, () => denoiser.demands(shape, call.steps))]]),
      // Those that were loaded otherwise are gone: it is another plan.
      apply: () => void (tensors && (tensors.stored.cast = cast)),
    };
  };
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
