/** @file Prompts in stable-diffusion-webui's syntax: their schedules, and their chunks of weighted tokens. */

import { OptionError } from '../../errors.ts';
import type { InvertedToken } from '../inverted-tokens.ts';
import type { TokenizedPrompt } from '../prompt-tokens.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { parseAttention } from './attention.ts';
import { chunkTokens } from './chunks.ts';
import { checkLength } from './limits.ts';
import { extractLoras } from './networks.ts';
import { schedulePrompt, type ScheduledText } from './schedule.ts';

export { applyWeights } from './emphasis.ts';

/** See `readSchedule`. */
export function readWebuiSchedule(prompt: string, steps: number, field: string): readonly ScheduledText[] {
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

/** See `tokenizePrompt`. */
export function tokenizeWebui(
  tokenizer: Tokenizer,
  text: string,
  field: string,
  inverted: readonly InvertedToken[],
): TokenizedPrompt {
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
