/** @file Prompts as what text encoders read: chunks of token ids, with attention weights where the syntax has them. */

import { expandPrompt, type InvertedToken } from './inverted-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { WEBUI } from './webui-part.ts';
import type { ScheduledText } from './webui/schedule.ts';

/** The names of `PromptSyntax`. */
export const PROMPT_SYNTAXES = ['plain', 'webui'] as const;
/** How prompts are read: as diffusers does, or with stable-diffusion-webui's weights, chunks and schedules. */
export type PromptSyntax = (typeof PROMPT_SYNTAXES)[number];

/** What a text encoder reads at once. */
export interface TokenChunk {
  /** Special tokens and padding included. */
  readonly ids: Int32Array;
  /** Attention weights, one for each id; absent where all are 1. */
  readonly weights?: readonly number[];
}

/** A prompt for one text encoder. */
export interface TokenizedPrompt {
  /** At least one. */
  readonly chunks: readonly TokenChunk[];
  /** The end of the prompt, if it was too long and cut off. */
  readonly truncated?: string | undefined;
}

/**
 * The texts of a prompt over a call's steps. In plain syntax there is one; webui's is read by `WEBUI`, which must be loaded.
 * @param field option that the prompt is from, for messages
 * @throws OptionError for webui's `AND`, networks other than LoRAs, and prompts without measure
 */
export function readSchedule(
  prompt: string,
  syntax: PromptSyntax,
  steps: number,
  field: string,
): readonly ScheduledText[] {
  if (syntax === 'plain') return [{ from: 0, text: prompt }];
  return WEBUI.loaded.readWebuiSchedule(prompt, steps, field);
}

/** How one text is tokenized. */
export interface TokenizeOptions {
  readonly syntax: PromptSyntax;
  /** Option that the text is from, for messages. */
  readonly field: string;
  /** For plain syntax: ids to cut to and pad to. */
  readonly maxLength?: number | undefined;
  /** Words of several vectors that the tokenizer knows. */
  readonly inverted?: readonly InvertedToken[];
}

/** One text of a schedule, tokenized; see `readSchedule`. */
export function tokenizePrompt(
  tokenizer: Tokenizer,
  text: string,
  { syntax, field, maxLength, inverted = [] }: TokenizeOptions,
): TokenizedPrompt {
  if (syntax === 'plain') {
    const expanded = expandPrompt(text, inverted, tokenizer);
    const { ids, truncated } = tokenizer.encode(expanded, maxLength === undefined ? {} : { maxLength });
    return { chunks: [{ ids }], truncated };
  }
  return WEBUI.loaded.tokenizeWebui(tokenizer, text, field, inverted);
}
