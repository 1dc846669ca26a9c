/** @file `Tokenizer`: text to token ids as transformers' tokenizers give them, framed, cut and padded. */
import { ConfigError, OptionError } from '../errors.ts';
import { type ByteSource, readLimited, readUtf8 } from '../loaders/byte-source.ts';
import { joinPath, type ModelSource } from '../loaders/model-source.ts';
import { MAX_LENGTH } from './special-tokens.ts';
import type { TokenEngine } from './token-engine.ts';
import {
  SPIECE_MODEL,
  TOKENIZER_FILES,
  type TokenizerFileKey,
  type TokenizerFiles,
} from './tokenizer-file-names.ts';
import { defineTokenizer, type TokenizerDefinition } from './tokenizer-files.ts';

/** How to encode. */
export interface EncodeOptions {
  /** Truncate to this many ids, special tokens included. Default: the tokenizer's `modelMaxLength`. */
  readonly maxLength?: number;
  /** Whether to pad to that length; without a limit nothing is padded. Default true. */
  readonly padding?: boolean;
}

/** An encoded text. */
export interface Encoding {
  /** Ids with the special tokens around them, and padding after them. */
  readonly ids: Int32Array;
  /** How many of the ids are not padding (where an attention mask would be 1). */
  readonly length: number;
  /** The end of the text that did not fit, as its tokens read; undefined if all of it did. */
  readonly truncated: string | undefined;
}

/** Over the largest tokenizers there are (some 20 MB). */
const MAX_FILE_BYTES = 64 << 20;

/** A tokenizer. */
export class Tokenizer {
  /** Longest input that the model was made for, special tokens included; Infinity if its files do not say. */
  readonly modelMaxLength: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** undefined if the files name no pad token; then nothing can be padded. */
  readonly padTokenId: number | undefined;
  readonly #engine: TokenEngine;
  readonly #definition: TokenizerDefinition;

  private constructor(definition: TokenizerDefinition) {
    const { engine, special } = definition;
    this.#definition = definition;
    this.#engine = engine;
    this.modelMaxLength = special.modelMaxLength;
    const idOf = (content: string | undefined) => (content === undefined ? undefined : engine.idOf(content));
    this.bosTokenId = idOf(special.roles.bos_token);
    this.eosTokenId = idOf(special.roles.eos_token);
    this.padTokenId = idOf(special.roles.pad_token);
  }

  /**
   * Reads the tokenizer in a folder of a model (`tokenizer`, `tokenizer_2`, or '' for the model's own folder).
   * Throws NotFoundError if it has no tokenizer.json, no vocab.json with merges.txt and no spiece.model, OptionError for what is no
   * ModelSource (`openModel` makes one of a folder's name), and what `fromFiles` throws.
   */
  static async fromPretrained(
    source: Pick<ModelSource, 'name' | 'open'>,
    subfolder = '',
    signal?: AbortSignal,
  ): Promise<Tokenizer> {
    if (typeof source !== 'object' || !('open' in source))
      throw new OptionError(`a value of the type ${typeof source} is no ModelSource`, {
        field: 'source',
        remedy: 'Open it first: await openModel(folder)',
      });
    const open = async <T>(name: string, use: (file: ByteSource) => Promise<T>): Promise<T | undefined> => {
      const file = await source.open(joinPath(subfolder, name), signal);
      if (file === undefined) return undefined;
      try {
        return await use(file);
      } finally {
        await file.close?.();
      }
    };
    const read = async (key: TokenizerFileKey): Promise<string | undefined> =>
      open(TOKENIZER_FILES[key], async (file) => readUtf8(file, MAX_FILE_BYTES, signal));
    const [tokenizerJson, tokenizerConfig, specialTokensMap, addedTokens] = await Promise.all([
      read('tokenizerJson'),
      read('tokenizerConfig'),
      read('specialTokensMap'),
      read('addedTokens'),
    ]);
    // tokenizer.json holds the vocabulary too, so the other two need not be fetched beside it.
    const [vocabJson, mergesTxt] =
      tokenizerJson === undefined ? await Promise.all([read('vocabJson'), read('mergesTxt')]) : [];
    const spieceModel =
      tokenizerJson === undefined && vocabJson === undefined
        ? await open(SPIECE_MODEL, async (file) => readLimited(file, MAX_FILE_BYTES, signal))
        : undefined;
    return Tokenizer.fromFiles({
      folder: subfolder === '' ? source.name : `${source.name}/${subfolder}`,
      tokenizerJson,
      vocabJson,
      mergesTxt,
      tokenizerConfig,
      specialTokensMap,
      addedTokens,
      spieceModel,
    });
  }

  /**
   * Makes a tokenizer from the texts of its files.
   * Throws NotFoundError for missing files, FileFormatError for damaged ones and ConfigError for fields that do not fit.
   */
  static async fromFiles(files: TokenizerFiles): Promise<Tokenizer> {
    return new Tokenizer(await defineTokenizer(files));
  }

  /**
   * The same tokenizer with further words, as transformers' `add_tokens` adds them: found anywhere in the text, whatever
   * their case.
   */
  withTokens(tokens: readonly { readonly content: string; readonly id: number }[]): Tokenizer {
    const flags = { normalized: true, lstrip: false, rstrip: false, special: false };
    const engine = this.#engine.withWords(tokens.map((token) => ({ ...flags, ...token })));
    return new Tokenizer({ ...this.#definition, engine });
  }

  /** Whether a word is in the vocabulary or was added to it. */
  has(token: string): boolean {
    return this.#engine.idOf(token) !== undefined;
  }

  /**
   * Encodes a text: special tokens around it, cut to `maxLength` and padded up to it.
   * Throws OptionError for a `maxLength` without room for the special tokens, or over a million, and ConfigError if padding is asked
   * for and the files name no pad token.
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    const maxLength = options.maxLength ?? this.modelMaxLength;
    const framing = this.#engine.prefix.length + this.#engine.suffix.length;
    const fits = Number.isInteger(maxLength) && maxLength >= framing && maxLength <= MAX_LENGTH;
    if (!fits && maxLength !== Infinity)
      throw new OptionError(`${maxLength} is not a whole number between ${framing} and ${MAX_LENGTH}`, {
        field: 'maxLength',
        remedy: 'Leave it out to get the length that the model was made for',
      });
    const content = this.tokenize(text);
    const kept = content.slice(0, maxLength - framing);
    const rest = content.slice(kept.length);
    return {
      ids: this.frame(kept, options.padding === false ? 0 : maxLength),
      length: kept.length + framing,
      truncated: rest.length === 0 ? undefined : this.#decode(rest),
    };
  }

  /**
   * Ids with the special tokens around them, padded up to a length (default `modelMaxLength`; Infinity pads nothing).
   * Throws ConfigError if padding is needed and the files name no pad token.
   */
  frame(content: readonly number[], length = this.modelMaxLength): Int32Array {
    const { prefix, suffix } = this.#engine;
    const framed = [...prefix, ...content, ...suffix];
    const ids = new Int32Array(length === Infinity ? framed.length : Math.max(framed.length, length));
    ids.set(framed);
    if (ids.length > framed.length) ids.fill(this.#padId(), framed.length);
    return ids;
  }

  /** How many tokens of text fit into the model's input: `modelMaxLength` without the special tokens. */
  get contentLength(): number {
    return this.modelMaxLength - this.#engine.prefix.length - this.#engine.suffix.length;
  }

  /** How many special tokens stand before the text. */
  get prefixLength(): number {
    return this.#engine.prefix.length;
  }

  /** How many tokens a text takes, special tokens around it not counted. */
  count(text: string): number {
    return this.tokenize(text).length;
  }

  /** The ids of a text alone: no special tokens around it, nothing cut off. */
  tokenize(text: string): number[] {
    return this.#engine.tokenize(text);
  }

  #decode(ids: readonly number[]): string {
    const text = this.#engine.decode(ids);
    // Not `trim`, which takes U+FEFF for white space.
    return text.replaceAll(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
  }

  #padId(): number {
    if (this.padTokenId !== undefined) return this.padTokenId;
    throw new ConfigError('names no pad token, so nothing can be padded', {
      file: joinPath(this.#definition.folder, TOKENIZER_FILES.tokenizerConfig),
      field: 'pad_token',
      remedy: 'Add the pad token that the model was trained with, or encode with padding: false',
    });
  }
}
