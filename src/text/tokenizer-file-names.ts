/** @file The files that a tokenizer is read from. */

/** The texts of a tokenizer's files; those that a repository lacks are left out. */
export interface TokenizerFiles {
  /** Folder that the files are from, for messages. Default ''. */
  readonly folder?: string;
  /** tokenizer.json; where it is missing, vocab.json and merges.txt are needed. */
  readonly tokenizerJson?: string | undefined;
  readonly vocabJson?: string | undefined;
  readonly mergesTxt?: string | undefined;
  readonly tokenizerConfig?: string | undefined;
  readonly specialTokensMap?: string | undefined;
  readonly addedTokens?: string | undefined;
  /** spiece.model, which T5 has in the place of tokenizer.json. */
  readonly spieceModel?: Uint8Array | undefined;
}

/** SentencePiece's file. */
export const SPIECE_MODEL = 'spiece.model';

/** Names of text files by key. */
export const TOKENIZER_FILES = {
  tokenizerJson: 'tokenizer.json',
  vocabJson: 'vocab.json',
  mergesTxt: 'merges.txt',
  tokenizerConfig: 'tokenizer_config.json',
  specialTokensMap: 'special_tokens_map.json',
  addedTokens: 'added_tokens.json',
} as const;
export type TokenizerFileKey = keyof typeof TOKENIZER_FILES;
