/** @file CLIP's tokenizer gives the ids that @huggingface/tokenizers gives with CLIPTokenizer's pipeline, for random texts. */
import { readFileSync } from 'node:fs';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { expect, test } from 'vitest';
import { parseMerges, readVocabulary } from '../../src/text/clip-bpe.ts';
import { clipEngine } from '../../src/text/clip-engine.ts';
import type { AddedWord } from '../../src/text/token-engine.ts';
import { FuzzRandom, randomText } from '../fuzz/fuzz.ts';
import { fixturePath } from '../support/fixtures.ts';

const read = (name: string): string => readFileSync(fixturePath(`text/clip-trimmed/${name}`), 'utf8');
const vocabulary = readVocabulary(JSON.parse(read('vocab.json')), { file: 'vocab.json' });
const merges = parseMerges(read('merges.txt'), 'merges.txt');
const [BOS, EOS] = ['<|startoftext|>', '<|endoftext|>'];
const [bosId, eosId] = [vocabulary.get(BOS)!, vocabulary.get(EOS)!];

const word = (content: string, id: number, flags: Partial<AddedWord> = {}): AddedWord => ({
  content,
  id,
  normalized: false,
  lstrip: false,
  rstrip: false,
  special: false,
  ...flags,
});
const words: readonly AddedWord[] = [
  word(BOS, bosId, { special: true }),
  word(EOS, eosId, { special: true }),
  word('<cat>', 50_000, { normalized: true }),
  word('<cat>_1', 50_001, { normalized: true }),
  word('RED Fox', 50_002, { normalized: true, lstrip: true }),
  word('[Kept]', 50_003, { rstrip: true, lstrip: true }),
];

const WORDS = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Removed',
  invert: true,
});
const library = new HuggingFaceTokenizer(
  {
    added_tokens: words,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        split(`<\\|startoftext\\|>|<\\|endoftext\\|>|${WORDS}`),
        split(WORDS),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: 'RobertaProcessing', sep: [EOS, eosId], cls: [BOS, bosId] },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: EOS,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      vocab: Object.fromEntries(vocabulary),
      merges,
    },
  },
  {},
);

const PIECES = [
  'a',
  'red',
  'RED Fox',
  'red fox',
  'apples',
  'the cat',
  "it's",
  "they'LL",
  'of',
  'in',
  'photograph',
  '<cat>',
  '<CAT>',
  '<cat>_1',
  '<cat>_',
  '[Kept]',
  '[kept]',
  BOS,
  EOS,
  '<|',
  '|>',
  '</w>',
  ',',
  '!!',
  '...',
  ' ',
  '  ',
  '\n',
  '\t',
  '\u0085',
  '\u00a0',
  '\ufeff',
  '\u3000',
  '42',
  '1e30',
  '½',
  '字',
  '한국',
  'é',
  'e\u0301',
  'İ',
  'ß',
  'ﬁ',
  '😀',
  '👩‍🚀',
  '\ud800',
  '\u200d',
  '\0',
  'constructor',
  '$&',
  'ÀÉ',
  '\u00ad',
  '¡',
  'ÿ',
];

test('random texts', () => {
  const random = new FuzzRandom(8);
  const engine = clipEngine({ vocabulary, merges, bosId, eosId, unknown: EOS }, words);
  for (let n = 0; n < 1000; n++) {
    const text = randomText(random, PIECES, 8);
    const ids = library.encode(text, { add_special_tokens: false }).ids;
    expect(engine.tokenize(text), JSON.stringify(text)).toEqual(ids);
    if (ids.length > 0)
      expect(engine.decode(ids), JSON.stringify(text)).toBe(
        library.decode(ids, { clean_up_tokenization_spaces: false }),
      );
  }
});

test('capital sigma becomes no final sigma', () => {
  const engine = clipEngine({ vocabulary, merges, bosId, eosId, unknown: EOS }, words);
  expect(engine.tokenize('ΟΔΟΣ')).toEqual(engine.tokenize('οδοσ'));
});

test('a word without end is soon read', () => {
  const engine = clipEngine({ vocabulary, merges, bosId, eosId, unknown: EOS }, words);
  expect(engine.tokenize('photographs'.repeat(5000)).length).toBeGreaterThan(5000);
});
