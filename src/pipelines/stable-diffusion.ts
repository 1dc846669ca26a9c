/** @file StableDiffusionPipeline's conditioning (SD 1.x and 2.x): one text encoder. */

import type { Conditioner, EncodedPrompts, PromptCall } from './conditioning.ts';
import { encodePrompts } from './encode-prompts.ts';
import type { ProgramOptions } from './network.ts';
import { PromptEmbedder } from './prompt-embedder.ts';
import type { PromptEncoder } from './text-encoder.ts';

/** Conditioning of StableDiffusionPipeline (diffusers pipelines/stable_diffusion/pipeline_stable_diffusion.py). */
export class StableDiffusionConditioner implements Conditioner {
  readonly microConditions = 0;
  readonly #embedder: PromptEmbedder;

  constructor(encoder: PromptEncoder) {
    this.#embedder = new PromptEmbedder([encoder], false);
  }

  get encoders(): readonly PromptEncoder[] {
    return this.#embedder.encoders;
  }

  get channels(): number {
    return this.#embedder.channels;
  }

  /** clipSkip keeps the final norm, as in diffusers. */
  encode(call: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts> {
    const layer = (clipSkip: number) => ({ skip: clipSkip, normed: true });
    return encodePrompts(
      { embedder: this.#embedder, layer, pooled: false, forceZeros: false },
      call,
      programs,
    );
  }

  inputs(): Readonly<Record<string, Float32Array>> {
    return {};
  }

  dispose(): void {
    this.#embedder.dispose();
  }
}
