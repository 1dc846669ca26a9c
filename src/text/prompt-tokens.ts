/** @file Prompts as what text encoders read: chunks of token ids, with attention weights where the syntax has them. */

import { OptionError } from '../errors.ts';
import { expandPrompt, type InvertedToken } from './inverted-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { parseAttention } from './webui/attention.ts';
import { chunkTokens } from './webui/chunks.ts';
import { checkLength } from './webui/limits.ts';
import { extractLoras } from './webui/networks.ts';
import { schedulePrompt, type ScheduledText } from './webui/schedule.ts';

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
 * The texts of a prompt over a call's steps. In plain syntax there is one.
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
  checkLength(prompt, field);
  const { text, loras } = extractLoras(prompt, field);
  if (loras.length > 0 && field !== 'prompt')
    throw new OptionError(`<lora:${loras[0].name}> counts for the whole picture`, {
      field,
      remedy: 'Write it into prompt',
    });
  if (/(?<![\p{L}\p{N}_])AND(?![\p{L}\p{N}_])/u.test(text))
    throw new OptionError('prompts composed with AND are not supported', {
      field,
      remedy: 'Write "and", or weigh the parts as (part:1.2)',
    });
  return schedulePrompt(text, steps, field);
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

/** One text of a schedule, tokenized. */
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
  const pieces = parseAttention(text, field).map((piece) =>
    piece === 'BREAK' ? piece : { ids: tokenizer.tokenize(piece.text), weight: piece.weight },
  );
  const [comma, ...more] = tokenizer.tokenize(',');
  const cut = chunkTokens(pieces, {
    length: tokenizer.contentLength,
    comma: more.length === 0 ? comma : undefined,
    field,
    expand: (id) => inverted.find(({ ids }) => ids[0] === id)?.ids ?? [id],
  });
  return {
    chunks: cut.map(({ ids, weights }) => {
      const framed = tokenizer.frame(ids);
      if (weights.every((weight) => weight === 1)) return { ids: framed };
      const all = Array.from(framed, () => 1);
      all.splice(tokenizer.prefixLength, weights.length, ...weights);
      return { ids: framed, weights: all };
    }),
  };
}
