/** @file How much of a text encoder's input a prompt takes, for those who write it. */

import { expandPrompt, type InvertedToken } from '../../text/inverted-tokens.ts';
import { readSchedule, tokenizePrompt, type PromptSyntax } from '../../text/prompt-tokens.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { WEBUI } from '../../text/webui-part.ts';
import { parseAttention, type WeightedText } from '../../text/webui/attention.ts';

/** What texts are read with. */
export interface PromptReader {
  readonly tokenizer: Tokenizer;
  /** Learned words. */
  readonly inverted: readonly InvertedToken[];
  /** Ids of an input, special tokens included. */
  readonly maxLength: number;
}

/** What a prompt takes. */
export interface PromptTokens {
  /** Tokens of the text alone; of a prompt that changes from step to step, those of its longest text. */
  readonly tokens: number;
  /** How many fit into an input: 75 for CLIP. */
  readonly room: number;
  /** Inputs that it is cut into; in plain syntax 1, and what does not fit is cut off. */
  readonly chunks: number;
  /** The end that is cut off, if there is one. */
  readonly truncated: string | undefined;
  /** Pieces that are weighed otherwise than 1. */
  readonly weighted: readonly WeightedText[];
}

/** More steps than calls usually have, so that every text of a schedule is met. */
const STEPS = 150;
/** For messages. */
const FIELD = 'prompt';

/** Counts a prompt as a text encoder reads it. Throws OptionError for what the syntax does not allow. */
export async function countPromptTokens(
  { tokenizer, inverted, maxLength }: PromptReader,
  prompt: string,
  syntax: PromptSyntax,
): Promise<PromptTokens> {
  const { length: framing } = tokenizer.encode('', { padding: false });
  const room = maxLength - framing;
  if (syntax === 'plain') {
    const { truncated } = tokenizePrompt(tokenizer, prompt, { syntax, field: FIELD, maxLength, inverted });
    const tokens = tokenizer.count(expandPrompt(prompt, inverted, tokenizer));
    return { tokens, room, chunks: 1, truncated, weighted: [] };
  }
  await WEBUI.load();
  const vectors = (id: number): number => inverted.find(({ ids }) => ids[0] === id)?.ids.length ?? 1;
  const texts = new Set(readSchedule(prompt, syntax, STEPS, FIELD).map(({ text }) => text));
  const counted = [...texts].map((text) => {
    const pieces = parseAttention(text, FIELD).filter((piece) => piece !== 'BREAK');
    const ids = pieces.flatMap((piece) => tokenizer.tokenize(piece.text));
    return {
      tokens: ids.reduce((sum, id) => sum + vectors(id), 0),
      room,
      chunks: tokenizePrompt(tokenizer, text, { syntax, field: FIELD, inverted }).chunks.length,
      truncated: undefined,
      weighted: pieces.filter(({ weight }) => weight !== 1),
    };
  });
  return counted.reduce((most, one) => (one.tokens > most.tokens ? one : most));
}
