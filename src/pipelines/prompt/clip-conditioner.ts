/** @file What the conditioners of pipelines with CLIP text encoders have in common. */

import type { ComponentDemands } from '../../plan/residency.ts';
import type { CheckedOptions, TextOptions } from '../options/call-options.ts';
import type { Conditioner, EncodedPrompts, PromptCall } from './conditioning.ts';
import type { PromptReader } from './count-tokens.ts';
import { encodePrompts, type TextReading } from './encode-prompts.ts';
import type { GuidanceRow } from '../guidance/guidance-rows.ts';
import type { ProgramOptions } from '../network.ts';
import type { Component } from '../memory/device-residency.ts';
import type { PromptEncoder } from './text-encoder.ts';

/** Encodes prompts as its reading says; what else the UNet is told is for each class to add. */
export abstract class ClipConditioner implements Conditioner {
  abstract readonly microConditions: number;
  readonly #reading: TextReading;

  constructor(reading: TextReading) {
    this.#reading = reading;
  }

  get encoders(): readonly PromptEncoder[] {
    return this.#reading.embedder.encoders;
  }

  get reader(): PromptReader {
    const [{ tokenizer, inverted }] = this.encoders;
    return { tokenizer, inverted, maxLength: tokenizer.modelMaxLength };
  }

  get components(): readonly Component[] {
    return this.encoders;
  }

  get channels(): number {
    return this.#reading.embedder.channels;
  }

  get tokens(): number {
    return this.encoders[0].tokenizer.modelMaxLength;
  }

  demands({ clipSkip = 0 }: Pick<TextOptions, 'clipSkip'>): ComponentDemands {
    const { embedder, layer } = this.#reading;
    return embedder.demands([layer(clipSkip), layer(0)]);
  }

  encode(call: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts> {
    return encodePrompts(this.#reading, call, programs);
  }

  abstract inputs(
    options: CheckedOptions,
    blocks: readonly GuidanceRow[],
    images: number,
  ): Readonly<Record<string, Float32Array>>;

  dispose(): void {
    this.#reading.embedder.dispose();
  }
}
