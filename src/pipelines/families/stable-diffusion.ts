/** @file StableDiffusionPipeline's conditioning (SD 1.x and 2.x): one text encoder. */

import { ClipConditioner } from '../prompt/clip-conditioner.ts';
import { PromptEmbedder } from '../prompt/prompt-embedder.ts';
import type { HiddenLayer, PromptEncoder } from '../prompt/text-encoder.ts';

/** clipSkip keeps the final norm, as in diffusers. */
const layer = (clipSkip: number): HiddenLayer => ({ skip: clipSkip, normed: true });

/** Conditioning of StableDiffusionPipeline (diffusers pipelines/stable_diffusion/pipeline_stable_diffusion.py). */
export class StableDiffusionConditioner extends ClipConditioner {
  readonly microConditions = 0;

  constructor(encoder: PromptEncoder) {
    super({ embedder: new PromptEmbedder([encoder], false), layer, pooled: false, forceZeros: false });
  }

  inputs(): Readonly<Record<string, Float32Array>> {
    return {};
  }
}
