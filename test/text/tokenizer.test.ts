/** @file `Tokenizer` against transformers' CLIPTokenizer, and against files that are damaged or do not fit. */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError, FileFormatError, NotFoundError, OptionError } from '../../src/errors.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import type { TokenizerFiles } from '../../src/text/tokenizer-file-names.ts';
import { fixturePath, readFixtureJson, STARTER } from '../support/fixtures.ts';

const goldens = readFixtureJson(
  'text/tokens.json',
  v.object({
    texts: v.array(v.string()),
    tokenizers: v.record(
      v.string(),
      v.object({
        pad: v.number(),
        files: v.nullable(v.record(v.string(), v.unknown())),
        rows: v.array(v.tuple([v.array(v.number()), v.nullable(v.string())])),
      }),
    ),
  }),
);

/** The files of a folder on disk, as a model source. */
function folder(path: string) {
  return {
    name: 'model',
    open: (file: string) => {
      try {
        return Promise.resolve(bufferSource(`model/${file}`, readFileSync(`${path}/${file}`)));
      } catch {
        return Promise.resolve(undefined);
      }
    },
  };
}

const TRIMMED = {
  folder: 'model/tokenizer',
  vocabJson: readFileSync(fixturePath('text/clip-trimmed/vocab.json'), 'utf8'),
  mergesTxt: readFileSync(fixturePath('text/clip-trimmed/merges.txt'), 'utf8'),
};

/** CLIP's tokenizer (trimmed) with other small files; `undefined` and absent are the same. */
function clip(files: Readonly<Record<string, unknown>> = {}): Promise<Tokenizer> {
  const text = (name: string) => (files[name] === undefined ? undefined : JSON.stringify(files[name]));
  return Tokenizer.fromFiles({
    ...TRIMMED,
    tokenizerConfig: text('tokenizer_config'),
    specialTokensMap: text('special_tokens_map'),
    addedTokens: text('added_tokens'),
  });
}

const load: Readonly<Record<string, () => Promise<Tokenizer>>> = {
  starter: () => Tokenizer.fromPretrained(folder(STARTER), 'tokenizer'),
  'tiny-sdxl': () => Tokenizer.fromPretrained(folder(fixturePath('pipelines/tiny-sdxl')), 'tokenizer_2'),
};

describe.each(Object.entries(goldens.tokenizers))(
  'as transformers does: %s',
  (name, { pad, files, rows }) => {
    test('every text, padded and cut to 77', async () => {
      const tokenizer = await (files === null ? load[name]() : clip(files));
      expect(tokenizer.padTokenId).toBe(pad);
      const actual = goldens.texts.map((text) => {
        const { ids, length, truncated } = tokenizer.encode(text, { maxLength: 77 });
        const unpadded = [...tokenizer.encode(text, { maxLength: 77, padding: false }).ids];
        return { text, ids: [...ids], length, truncated, unpadded, fits: tokenizer.count(text) <= 75 };
      });
      const expected = rows.map(([ids, cut], i) => ({
        text: goldens.texts[i],
        ids: [...ids, ...Array.from({ length: 77 - ids.length }, () => pad)],
        length: ids.length,
        truncated: cut ?? undefined,
        unpadded: ids,
        fits: cut === null,
      }));
      expect(actual).toEqual(expected);
    });
  },
);

describe('lengths', () => {
  test('the files set the default, and 1e30 means that there is none', async () => {
    const short = await clip({ tokenizer_config: { model_max_length: 12 } });
    expect(short.encode('a red apple').ids).toHaveLength(12);
    const endless = await clip({ tokenizer_config: { model_max_length: 1e30 } });
    expect(endless.modelMaxLength).toBe(Infinity);
    expect(endless.encode('apple '.repeat(100)).ids).toHaveLength(102);
    expect(endless.encode('apple '.repeat(100), { maxLength: 77 }).ids).toHaveLength(77);
    const bare = await clip();
    expect(bare.modelMaxLength).toBe(Infinity);
    expect(bare.count('apple '.repeat(100))).toBe(100);
  });

  test('cutting keeps both special tokens', async () => {
    const tokenizer = await clip();
    const { ids, truncated } = tokenizer.encode('a red apple', { maxLength: 3 });
    expect([...ids]).toEqual([49406, 320, 49407]);
    expect(truncated).toBe('red apple');
    expect([...tokenizer.encode('a red apple', { maxLength: 2 }).ids]).toEqual([49406, 49407]);
  });

  test.each([1, 0, -1, 2.5, Number.NaN, 1e9])('maxLength %d is an OptionError', async (maxLength) => {
    const tokenizer = await clip();
    expect(() => tokenizer.encode('a', { maxLength })).toThrow(OptionError);
  });

  test('without a pad token, padding is an error but plain encoding is not', async () => {
    const json = {
      model: { type: 'BPE', vocab: { a: 0, '</s>': 1 }, merges: [], unk_token: null },
      normalizer: null,
      pre_tokenizer: null,
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ Sequence: { id: 'A' } }, { SpecialToken: { id: '</s>' } }],
        pair: [],
      },
      decoder: null,
      added_tokens: [{ id: 1, content: '</s>', special: true }],
    };
    const tokenizer = await Tokenizer.fromFiles({
      folder: 'other',
      tokenizerJson: JSON.stringify(json),
      tokenizerConfig: '{"tokenizer_class": "T5Tokenizer"}',
    });
    expect([...tokenizer.encode('aa', { maxLength: 5, padding: false }).ids]).toEqual([0, 0, 1]);
    expect([...tokenizer.encode('aaaa', { maxLength: 3 }).ids]).toEqual([0, 0, 1]);
    expect(() => tokenizer.encode('a', { maxLength: 5 })).toThrow(/other\/tokenizer_config.json: pad_token/);
  });
});

describe('bad files', () => {
  const attempt = (files: Partial<TokenizerFiles>) => Tokenizer.fromFiles({ ...TRIMMED, ...files });
  const json = (value: unknown) => JSON.stringify(value);

  test.each<[string, Partial<TokenizerFiles>, new (...args: never[]) => Error, RegExp]>([
    ['no merges.txt', { mergesTxt: undefined }, NotFoundError, /model\/tokenizer.*merges\.txt is missing/],
    ['no vocab.json', { vocabJson: undefined }, NotFoundError, /vocab\.json is missing/],
    ['broken vocab.json', { vocabJson: '{"a": 1,' }, FileFormatError, /vocab\.json.*line 1/],
    ['a list for vocab.json', { vocabJson: '[]' }, ConfigError, /vocab\.json: vocab: expected a map/],
    ['an empty vocab.json', { vocabJson: '{}' }, ConfigError, /empty/],
    ['an id that is text', { vocabJson: '{"a": "1"}' }, ConfigError, /vocab\.json: a: "1" is not a token id/],
    ['a negative id', { vocabJson: '{"a": -1}' }, ConfigError, /vocab\.json: a: -1/],
    ['an id used twice', { vocabJson: '{"a": 1, "b": 1}' }, ConfigError, /vocab\.json: b: .*"a" has already/],
    [
      'no end token',
      { vocabJson: '{"<|startoftext|>": 0}', mergesTxt: '' },
      ConfigError,
      /eos_token.*not in the vocabulary/,
    ],
    ['half a merge', { mergesTxt: '#version: 0.2\na b\nab\n' }, FileFormatError, /merges\.txt: line 3/],
    ['three parts in a merge', { mergesTxt: 'a b c\n' }, FileFormatError, /merges\.txt: line 1/],
    ['merges of another model', { mergesTxt: 'zz qq\n' }, FileFormatError, /merges\.txt: the merge "zz qq"/],
    ['broken config', { tokenizerConfig: 'pad' }, FileFormatError, /tokenizer_config\.json/],
    [
      'a number for the pad token',
      { tokenizerConfig: json({ pad_token: 3 }) },
      ConfigError,
      /tokenizer_config\.json: pad_token/,
    ],
    [
      'a negative limit',
      { tokenizerConfig: json({ model_max_length: -1 }) },
      ConfigError,
      /model_max_length/,
    ],
    ['padding on the left', { tokenizerConfig: json({ padding_side: 'left' }) }, ConfigError, /padding_side/],
    [
      'a class without tokenizer.json',
      { tokenizerConfig: json({ tokenizer_class: 'LlamaTokenizer' }) },
      ConfigError,
      /tokenizer_class.*LlamaTokenizer/,
    ],
    [
      'a bad special_tokens_map',
      { specialTokensMap: json({ eos_token: [] }) },
      ConfigError,
      /special_tokens_map\.json: eos_token/,
    ],
    [
      'a bad added_tokens.json',
      { addedTokens: json({ '<cat>': 'x' }) },
      ConfigError,
      /added_tokens\.json: <cat>/,
    ],
    [
      'an id that contradicts the vocabulary',
      { addedTokens: json({ '!': 7 }) },
      ConfigError,
      /declared with the id 7.*gives it 0/,
    ],
    ['a tokenizer.json without a model', { tokenizerJson: '{}' }, ConfigError, /tokenizer\.json: model/],
    [
      'a CLIP tokenizer.json of another kind',
      {
        tokenizerJson: json({ model: { type: 'Unigram', vocab: [] } }),
        tokenizerConfig: json({ tokenizer_class: 'CLIPTokenizer' }),
      },
      ConfigError,
      /tokenizer\.json: model\.type.*Unigram/,
    ],
    [
      'a tokenizer.json with an unknown part',
      {
        tokenizerJson: json({
          model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
          normalizer: { type: 'Nonsense' },
          pre_tokenizer: null,
          post_processor: null,
          decoder: null,
        }),
      },
      ConfigError,
      /tokenizer\.json: this tokenizer cannot be run/,
    ],
  ])('%s', async (_, files, type, message) => {
    await expect(attempt(files)).rejects.toThrow(type);
    await expect(attempt(files)).rejects.toThrow(message);
  });

  test('a folder without a tokenizer', async () => {
    await expect(Tokenizer.fromPretrained(folder('/nowhere'), 'tokenizer')).rejects.toThrow(NotFoundError);
  });
});
