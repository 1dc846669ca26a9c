/** @file PixArtAlphaPipeline's conditioning: T5's hidden states with their mask, and the picture's size. */

import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { positionEmbedding } from '../../models/pixart-transformer.ts';
import type { ComponentDemands } from '../../plan/residency.ts';
import type { Conditioner, EncodedPrompts, PromptCall, PromptEmbedding } from '../prompt/conditioning.ts';
import type { PromptReader } from '../prompt/count-tokens.ts';
import { givenEmbeddings, rowsOf } from '../prompt/encode-prompts.ts';
import type { GuidanceRow } from '../guidance/guidance-rows.ts';
import type { ProgramOptions } from '../network.ts';
import type { CheckedOptions, TextOptions } from '../options/call-options.ts';
import { refuse, textList } from '../options/checks.ts';
import type { Component } from '../memory/device-residency.ts';
import type { T5TextEncoder } from '../prompt/t5-text-encoder.ts';

/** Tokens of a prompt, padding included: section 3.1 of the paper. */
export const MAX_SEQUENCE_LENGTH = 120;

/** Options that a side's embeddings come in. */
const SIDES = {
  positive: { embeds: 'promptEmbeds', pooled: 'pooledPromptEmbeds', mask: 'promptAttentionMask' },
  negative: {
    embeds: 'negativePromptEmbeds',
    pooled: 'negativePooledPromptEmbeds',
    mask: 'negativePromptAttentionMask',
  },
} as const;

/** Conditioning of PixArtAlphaPipeline (diffusers pipelines/pixart_alpha/pipeline_pixart_alpha.py). */
export class PixArtAlphaConditioner implements Conditioner {
  readonly microConditions = 0;
  readonly encoders = [];
  readonly #encoder: T5TextEncoder;
  readonly #config: PixArtTransformerConfig;
  readonly #scaleFactor: number;

  /** @param scaleFactor pixels of a latent along each side */
  constructor(encoder: T5TextEncoder, config: PixArtTransformerConfig, scaleFactor: number) {
    this.#encoder = encoder;
    this.#config = config;
    this.#scaleFactor = scaleFactor;
  }

  get reader(): PromptReader {
    return { tokenizer: this.#encoder.tokenizer, inverted: [], maxLength: MAX_SEQUENCE_LENGTH };
  }

  get components(): readonly Component[] {
    return [this.#encoder];
  }

  get tokens(): number {
    return MAX_SEQUENCE_LENGTH;
  }

  demands(): ComponentDemands {
    return new Map([[this.#encoder.network.name, this.#encoder.demands(MAX_SEQUENCE_LENGTH)]]);
  }

  get channels(): number {
    return this.#encoder.config.dModel;
  }

  async encode({ options, guided }: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts> {
    const { prompt, negativePrompt = '', maxSequenceLength = MAX_SEQUENCE_LENGTH } = options;
    const truncated = new Set<string>();
    const given = this.#given(options, 'positive');
    const prompts = [prompt ?? []].flat();
    const count = given?.length ?? prompts.length;
    const positive = given ?? (await this.#embed(prompts, maxSequenceLength, truncated, programs));
    const tokens = (positive[0]?.hidden.length ?? 0) / this.channels;
    if (!guided) return { positive, negative: [], tokens, truncated: [...truncated] };
    // diffusers encodes it as long as the prompt.
    const negative =
      this.#given(options, 'negative') ??
      (await this.#embed(textList('negativePrompt', negativePrompt, count), tokens, truncated, programs));
    const { embeds } = SIDES.negative;
    if (negative.length !== count)
      refuse(embeds, `it has ${negative.length} prompts, not ${count}`, `Give embeddings of ${count}`);
    const negativeTokens = (negative[0]?.hidden.length ?? 0) / this.channels;
    if (negativeTokens !== tokens)
      refuse(
        embeds,
        `it has ${negativeTokens} tokens, the prompt ${tokens}`,
        'Give embeddings of as many tokens',
      );
    return { positive, negative, tokens, truncated: [...truncated] };
  }

  /** Prompts as they are encoded: lower-cased, without white space around them. */
  async #embed(
    prompts: readonly string[],
    tokens: number,
    truncated: Set<string>,
    programs: ProgramOptions,
  ): Promise<PromptEmbedding[]> {
    const made = new Map<string, PromptEmbedding>();
    for (const prompt of prompts) {
      if (made.has(prompt)) continue;
      const { truncated: end, ...embedding } = await this.#encoder.encode(
        cleanPrompt(prompt),
        tokens,
        programs,
      );
      if (end !== undefined) truncated.add(end);
      made.set(prompt, embedding);
    }
    return prompts.flatMap((prompt) => made.get(prompt) ?? []);
  }

  /** Embeddings that were given as options, with their masks. */
  #given(options: TextOptions, side: keyof typeof SIDES): PromptEmbedding[] | undefined {
    const { embeds, pooled, mask: maskField } = SIDES[side];
    const embeddings = givenEmbeddings(options, embeds, pooled, this.channels, false);
    const mask = options[maskField];
    if (embeddings === undefined) {
      if (mask !== undefined) refuse(maskField, `it was given without ${embeds}`, 'Give the embeddings too');
      return undefined;
    }
    const tokens = embeddings[0].hidden.length / this.channels;
    if (mask === undefined)
      return refuse(maskField, `${embeds} need it`, 'Give the mask that encodePrompt made with them');
    const [rows, columns] = mask.shape;
    if (mask.shape.length !== 2 || rows !== embeddings.length || columns !== tokens)
      refuse(
        maskField,
        `its shape is [${mask.shape.join(', ')}]`,
        `Give a mask of the shape [${embeddings.length}, ${tokens}]`,
      );
    const masks = rowsOf(mask);
    return embeddings.map((embedding, i) => ({ ...embedding, mask: masks[i] }));
  }

  /** Positions, and where the transformer reads them the size in pixels and the aspect ratio. */
  inputs(
    { height, width }: CheckedOptions,
    blocks: readonly GuidanceRow[],
    images: number,
  ): Readonly<Record<string, Float32Array>> {
    const rows = blocks.length * images;
    const repeat = (values: readonly number[]): Float32Array =>
      Float32Array.from({ length: rows * values.length }, (_, i) => values[i % values.length]);
    return {
      pos_embed: positionEmbedding(this.#config, height / this.#scaleFactor, width / this.#scaleFactor),
      ...(this.#config.useAdditionalConditions && {
        resolution: repeat([height, width]),
        aspect_ratio: repeat([height / width]),
      }),
    };
  }

  dispose(): void {
    this.#encoder.dispose();
  }
}

/** What Python's `lower` and `strip` make of a text. Not `trim`, which takes other characters for white space. */
function cleanPrompt(prompt: string): string {
  const characters = Array.from(prompt.toLowerCase());
  const isKept = (character: string): boolean =>
    !/\p{White_Space}/u.test(character) && (character < '\u001C' || character > '\u001F');
  return characters.slice(characters.findIndex(isKept), characters.findLastIndex(isKept) + 1).join('');
}
