/**
 * @file CLIP's byte-pair tokenizer as the JSON object that @huggingface/tokenizers runs, built from vocab.json and
 * merges.txt: the normaliser, splitting pattern and framing that transformers' CLIPTokenizer puts around them.
 *
 * Unlike OpenAI's own code it neither repairs mojibake nor unescapes HTML (`&amp;` stays five characters); diffusers
 * does not either.
 */
import * as v from 'valibot';
import { FileFormatError } from '../errors.ts';
import { type ConfigContext, inconsistent } from '../loaders/config.ts';

/** Token to id. */
export type Vocabulary = ReadonlyMap<string, number>;
/** Pairs of tokens that are joined, the most important first. */
export type Merges = readonly (readonly [string, string])[];

/** The special tokens that CLIPTokenizer assumes where no file names others. */
export const CLIP_DEFAULTS = {
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
} as const;

const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 31 - 1));

/** Reads a vocabulary from parsed JSON. Throws ConfigError for entries that are no ids, and for ids used twice. */
export function readVocabulary(value: unknown, context: ConfigContext): Vocabulary {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw inconsistent(context, 'vocab', 'expected a map from token to id');
  // Not valibot's record, which leaves out keys such as "constructor".
  const vocabulary = new Map<string, number>();
  const owners = new Map<number, string>();
  for (const [token, id] of Object.entries(value)) {
    if (!v.is(tokenId, id)) throw inconsistent(context, token, `${JSON.stringify(id)} is not a token id`);
    const owner = owners.get(id);
    if (owner !== undefined)
      throw inconsistent(context, token, `has the id ${id}, which ${JSON.stringify(owner)} has already`);
    owners.set(id, token);
    vocabulary.set(token, id);
  }
  if (vocabulary.size === 0) throw inconsistent(context, 'vocab', 'the vocabulary is empty');
  return vocabulary;
}

/** Reads merges.txt: one pair a line after an optional `#version` line. Throws FileFormatError naming the line. */
export function parseMerges(text: string, file: string): Merges {
  return text
    .split(/\r?\n/)
    .map((line, index) => ({ line, place: `line ${index + 1}` }))
    .filter(({ line }) => line !== '' && !line.startsWith('#version'))
    .map(({ line, place }) => parseMerge(line, file, place));
}

/** Two tokens with one space between them. Throws FileFormatError naming the place in the file. */
export function parseMerge(merge: string, file: string, place: string): readonly [string, string] {
  const [left, right, ...more] = merge.split(' ');
  if (left && right && more.length === 0) return [left, right];
  throw new FileFormatError('expected two tokens with a space between them', {
    file,
    field: place,
    remedy: 'The file is damaged; get it again from where the model was published',
  });
}

/** Throws FileFormatError unless both halves and the whole of every merge are in the vocabulary. */
export function checkMerges(merges: Merges, vocabulary: Vocabulary, file: string): void {
  for (const [left, right] of merges)
    for (const token of [left, right, left + right])
      if (!vocabulary.has(token))
        throw new FileFormatError(
          `the merge "${left} ${right}" needs ${JSON.stringify(token)}, which is not in the vocabulary`,
          {
            file,
            remedy: 'Use merges and vocabulary of the same model',
          },
        );
}

/** The parts of a tokenizer JSON that are the same for every CLIP model. */
const NORMALIZER = {
  type: 'Sequence',
  normalizers: [
    { type: 'NFC' },
    { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
    { type: 'Lowercase' },
  ],
};
const WORDS = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
const FRAMED_WORDS = `<\\|startoftext\\|>|<\\|endoftext\\|>|${WORDS}`;
const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Removed',
  invert: true,
});
const PRE_TOKENIZER = {
  type: 'Sequence',
  pretokenizers: [
    split(FRAMED_WORDS),
    // The original lets ByteLevel split a second time by GPT-2's pattern, which here only takes a typed
    // "<|endoftext|>" apart. The package's copy of that pattern counts U+FEFF as white space; this one does not.
    split(WORDS),
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
};

/** The tokenizer JSON, without added tokens. `bos` and `eos` are [content, id]. */
export function clipTokenizerJson(options: {
  readonly vocabulary: Vocabulary;
  readonly merges: Merges;
  readonly unknown: string;
  readonly bos: readonly [string, number];
  readonly eos: readonly [string, number];
}): Record<string, unknown> {
  return {
    normalizer: NORMALIZER,
    pre_tokenizer: PRE_TOKENIZER,
    post_processor: {
      type: 'RobertaProcessing',
      sep: options.eos,
      cls: options.bos,
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: options.unknown,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(options.vocabulary),
      merges: options.merges,
    },
  };
}

/**
 * Lower-cases capital sigma on its own, as the Rust tokenizer does character by character; JavaScript's
 * `toLowerCase` would make it a final sigma at the end of a word.
 */
export function lowerSigma(text: string): string {
  return text.replaceAll('\u03a3', '\u03c3');
}
