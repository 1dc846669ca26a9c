/** @file What runs a tokenizer: CLIP's is clip-engine.ts, all others are run by library-engine.ts. */

/** A word that is cut out of the text before the vocabulary is applied to the rest. */
export interface AddedWord {
  readonly content: string;
  readonly id: number;
  /** Matched in the normalised (lower-cased) text rather than in the text as typed. */
  readonly normalized: boolean;
  /** Whether the white space before it, or behind it, goes with it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly special: boolean;
}

/** Text to ids and back. */
export interface TokenEngine {
  /** Ids that stand before and after every text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** The id of a word of the vocabulary, or of one that was added to it. */
  idOf(token: string): number | undefined;
  /** The ids of a text alone. */
  tokenize(text: string): number[];
  /** The text of ids, of which there must be some. */
  decode(ids: readonly number[]): string;
  /** The same with further words. */
  withWords(words: readonly AddedWord[]): TokenEngine;
}
