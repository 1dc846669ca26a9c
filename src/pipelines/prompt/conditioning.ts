/** @file What prompts become for a UNet: its prompt inputs, batched for guidance and several images a prompt. */

import type { ComponentDemands } from '../../plan/residency.ts';
import { forRows, type GuidanceRow } from '../guidance/guidance-rows.ts';
import type { ProgramOptions } from '../network.ts';
import type { Component } from '../memory/device-residency.ts';
import type { PromptReader } from './count-tokens.ts';
import type { PromptEncoder } from './text-encoder.ts';
import type { CheckedOptions, TextOptions } from '../options/call-options.ts';

/** Added to the scores of text tokens that are masked, as diffusers does. */
export const MASKED = -10000;

/** Embeddings of one prompt. */
export interface PromptEmbedding {
  /** [tokens, channels] */
  readonly hidden: Float32Array;
  /** Pooled text, for SDXL: [channels]. */
  readonly pooled?: Float32Array;
  /** For T5: [tokens], 1 where a token is to be seen and 0 where it is not. */
  readonly mask?: Float32Array;
}

/** Prompts with their negatives. */
export interface PromptPairs {
  readonly positive: readonly PromptEmbedding[];
  /** As many as positive ones; empty without guidance. */
  readonly negative: readonly PromptEmbedding[];
}

/** All prompts of a call, as they are at its first step. */
export interface EncodedPrompts extends PromptPairs {
  readonly tokens: number;
  /** What they are from later steps on (counted from 0), for prompts in webui syntax that change. */
  readonly changes?: ReadonlyMap<number, PromptPairs>;
  /** Ends of prompts that were cut off, for a notice. */
  readonly truncated: readonly string[];
}

/** What a conditioner is told of a call. */
export interface PromptCall {
  readonly options: TextOptions;
  /** Whether negative prompts are needed. */
  readonly guided: boolean;
  /** Calls of the network, over which prompts that change are spread, and how many of them make a step. */
  readonly steps: number;
  readonly order: 1 | 2;
}

/** Turns the prompts of a call into a UNet's prompt inputs; one for each pipeline class. */
export interface Conditioner {
  /** Micro-conditioning numbers that go with every prompt. */
  readonly microConditions: number;
  /** The CLIP text encoders, in the order of their folders; empty for others. */
  readonly encoders: readonly PromptEncoder[];
  /** What the first text encoder reads texts with. */
  readonly reader: PromptReader;
  /** The networks that it runs. */
  readonly components: readonly Component[];
  /** Of the text embeddings. */
  readonly channels: number;
  /** Tokens of a prompt that is not longer than usual. */
  readonly tokens: number;
  encode(call: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts>;
  /** What the text encoders take to encode prompts, by the names of their folders. */
  demands(options: Pick<TextOptions, 'clipSkip'>): ComponentDemands;
  /** Inputs besides `encoder_hidden_states` and `text_embeds`, for the batch rows of this many images. */
  inputs(
    options: CheckedOptions,
    blocks: readonly GuidanceRow[],
    images: number,
  ): Readonly<Record<string, Float32Array>>;
  dispose(): void;
}

/** Rows joined end to end. */
export function stack(rows: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let offset = 0;
  for (const row of rows) {
    out.set(row, offset);
    offset += row.length;
  }
  return out;
}

/** The UNet's text inputs: block after block, each prompt repeated for its images. */
export function batchPrompts(
  prompts: PromptPairs,
  blocks: readonly GuidanceRow[],
  imagesPerPrompt: number,
): Record<string, Float32Array> {
  const rows = forRows(blocks, prompts.positive.length * imagesPerPrompt, (block, image) => {
    const { negative, positive } = prompts;
    return (block === 'negative' ? negative : positive)[Math.floor(image / imagesPerPrompt)];
  });
  const pooled = rows.flatMap((row) => (row.pooled ? [row.pooled] : []));
  const masks = rows.flatMap((row) => (row.mask ? [row.mask] : []));
  return {
    encoder_hidden_states: stack(rows.map((row) => row.hidden)),
    ...(pooled.length > 0 && { text_embeds: stack(pooled) }),
    ...(masks.length > 0 && { encoder_attention_bias: stack(masks).map((seen) => (1 - seen) * MASKED) }),
  };
}
