/** @file What prompts become for a UNet: its prompt inputs, batched for guidance and several images a prompt. */

import type { ProgramOptions } from './network.ts';
import type { CheckedOptions } from './options.ts';

/** Embeddings of one prompt. */
export interface PromptEmbedding {
  /** [tokens, channels] */
  readonly hidden: Float32Array;
  /** Pooled text, for SDXL: [channels]. */
  readonly pooled?: Float32Array;
}

/** All prompts of a call. */
export interface EncodedPrompts {
  readonly tokens: number;
  readonly positive: readonly PromptEmbedding[];
  /** As many as positive ones; empty without guidance. */
  readonly negative: readonly PromptEmbedding[];
  /** Ends of prompts that were cut off, for a notice. */
  readonly truncated: readonly string[];
}

/** Turns the prompts of a call into a UNet's prompt inputs; one for each pipeline class. */
export interface Conditioner {
  /** Micro-conditioning numbers that go with every prompt. */
  readonly microConditions: number;
  encode(options: CheckedOptions, guided: boolean, programs: ProgramOptions): Promise<EncodedPrompts>;
  /** Inputs besides `encoder_hidden_states` and `text_embeds`, for this many batch rows. */
  inputs(options: CheckedOptions, guided: boolean, rows: number): Readonly<Record<string, Float32Array>>;
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

/** The UNet's text inputs: all unconditional images first, each prompt repeated for its images. */
export function batchPrompts(prompts: EncodedPrompts, imagesPerPrompt: number): Record<string, Float32Array> {
  const repeat = (list: readonly PromptEmbedding[]): PromptEmbedding[] =>
    list.flatMap((prompt) => Array.from({ length: imagesPerPrompt }, () => prompt));
  const rows = [...repeat(prompts.negative), ...repeat(prompts.positive)];
  const pooled = rows.flatMap((row) => (row.pooled ? [row.pooled] : []));
  return {
    encoder_hidden_states: stack(rows.map((row) => row.hidden)),
    ...(pooled.length > 0 && { text_embeds: stack(pooled) }),
  };
}
