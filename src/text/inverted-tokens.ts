/** @file Words that stand for learned vectors (textual inversion), one vector or several, in prompts. */

import type { Tokenizer } from './tokenizer.ts';

/** A word, and the id of each of its vectors. */
export interface InvertedToken {
  readonly token: string;
  readonly ids: readonly number[];
}

/** The word that a further vector of a token has, as diffusers names it: `token_1`, `token_2`, ... */
export function vectorName(token: string, index: number): string {
  return index === 0 ? token : `${token}_${index}`;
}

/**
 * Writes the names of all vectors behind a token of several, as diffusers' `maybe_convert_prompt` does. As there, it is a
 * replacement in the text: it also hits a token inside of other words, and tokens with capitals, which the tokenizer
 * finds but reports in lower case, are left with their first vector alone.
 */
export function expandPrompt(prompt: string, tokens: readonly InvertedToken[], tokenizer: Tokenizer): string {
  const several = tokens.filter(({ token, ids }) => ids.length > 1 && token === asMatched(token));
  if (several.length === 0) return prompt;
  const present = new Set(tokenizer.tokenize(prompt));
  return several
    .filter(({ ids }) => present.has(ids[0]))
    .reduce(
      (text, { token, ids }) =>
        text.replaceAll(token, () => ids.map((_, i) => vectorName(token, i)).join(' ')),
      prompt,
    );
}

/** A text as CLIP's tokenizer reads it before it looks for added tokens. */
function asMatched(text: string): string {
  return text.normalize('NFC').replaceAll(/\s+/g, ' ').toLowerCase();
}
