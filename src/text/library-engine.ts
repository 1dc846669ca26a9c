/** @file Tokenizers of all classes but CLIP's, run by @huggingface/tokenizers. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { ConfigError } from '../errors.ts';
import type { Normalize } from './t5-unigram.ts';
import type { AddedWord, TokenEngine } from './token-engine.ts';

/** What the library runs. */
export interface LibraryParts {
  /** A tokenizer.json without its `added_tokens`. */
  readonly json: Readonly<Record<string, unknown>>;
  /** What comes before its normaliser. */
  readonly normalize?: Normalize | undefined;
  /** For messages. */
  readonly file: string;
}

/** The engine of a tokenizer with these added words. Throws ConfigError for what the library cannot run. */
export function libraryEngine(parts: LibraryParts, words: readonly AddedWord[]): TokenEngine {
  const inner = start({ ...parts.json, added_tokens: words }, parts.file);
  const { normalize = (same: string) => same } = parts;
  const probe = 'a';
  const bare = inner.encode(probe, { add_special_tokens: false }).ids;
  const framed = inner.encode(probe).ids;
  const first = Math.max(0, framed.indexOf(bare[0]));
  return {
    prefix: framed.slice(0, first),
    suffix: framed.slice(first + bare.length),
    idOf: (token) => inner.token_to_id(token),
    tokenize: (text) => inner.encode(normalize(text), { add_special_tokens: false }).ids,
    decode: (ids) => inner.decode([...ids], { clean_up_tokenization_spaces: false }),
    withWords: (more) => libraryEngine(parts, [...words, ...more]),
  };
}

function start(json: Record<string, unknown>, file: string): HuggingFaceTokenizer {
  try {
    return new HuggingFaceTokenizer(json, {});
  } catch (cause) {
    throw new ConfigError('this tokenizer cannot be run', {
      file,
      remedy: 'Get the file again, or use a tokenizer.json that a current version of transformers saved',
      cause,
    });
  }
}
