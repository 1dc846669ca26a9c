/** @file StableDiffusionPipeline's conditioning (SD 1.x and 2.x): one text encoder. */

import type { Conditioner, EncodedPrompts, PromptCall } from './conditioning.ts';
import { encodePrompts } from './encode-prompts.ts';
import type { ComponentDemands } from '../plan/residency.ts';
import type { ProgramOptions } from './network.ts';
import type { TextOptions } from './options.ts';
import { PromptEmbedder } from './prompt-embedder.ts';
import type { Component } from './residency.ts';
import type { HiddenLayer, PromptEncoder } from './text-encoder.ts';

/** clipSkip keeps the final norm, as in diffusers. */
const layer = (clipSkip: number): HiddenLayer => ({ skip: clipSkip, normed: true });

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

  get components(): readonly Component[] {
    return this.encoders;
  }

  get channels(): number {
    return this.#embedder.channels;
  }

  get tokens(): number {
    return this.encoders[0].tokenizer.modelMaxLength;
  }

  encode(call: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts> {
    return encodePrompts(
      { embedder: this.#embedder, layer, pooled: false, forceZeros: false },
      call,
      programs,
    );
  }

  demands({ clipSkip = 0 }: Pick<TextOptions, 'clipSkip'>): ComponentDemands {
    return this.#embedder.demands([layer(clipSkip), layer(0)]);
  }

  inputs(): Readonly<Record<string, Float32Array>> {
    return {};
  }

  dispose(): void {
    this.#embedder.dispose();
  }
}
