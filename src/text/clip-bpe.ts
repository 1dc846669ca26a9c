/** @file The vocabulary and the merges of CLIP's tokenizer, as vocab.json and merges.txt hold them. */
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
