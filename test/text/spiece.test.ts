/** @file T5's tokenizer from a spiece.model against transformers' T5Tokenizer, and against damaged files. */
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError, FileFormatError, NotFoundError } from '../../src/errors.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { readCharsmap } from '../../src/text/charsmap.ts';
import { readSentencePiece } from '../../src/text/sentencepiece.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import { fixturePath, readFixtureJson } from '../support/fixtures.ts';

const { rows } = readFixtureJson(
  'text/spiece.json',
  v.object({ rows: v.array(v.tuple([v.string(), v.array(v.number())])) }),
);
const bytes = new Uint8Array(readFileSync(fixturePath('text/spiece/spiece.model')));
const tokenizerConfig = readFileSync(fixturePath('text/spiece/tokenizer_config.json'), 'utf8');
const encode = (tokenizer: Tokenizer, text: string): number[] => [
  ...tokenizer.encode(text, { padding: false, maxLength: 1000 }).ids,
];

test("gives the ids of transformers' tokenizer", async () => {
  const tokenizer = await Tokenizer.fromPretrained(await nodeFolderSource(fixturePath('text')), 'spiece');
  expect(tokenizer).toMatchObject({ eosTokenId: 1, padTokenId: 0, modelMaxLength: 20 });
  for (const [text, ids] of rows) expect(encode(tokenizer, text), JSON.stringify(text)).toEqual(ids);
  expect(tokenizer.encode('a red fox').ids).toHaveLength(20);
});

test('needs no other file', async () => {
  const tokenizer = await Tokenizer.fromFiles({ spieceModel: bytes });
  const plain = rows.filter(([text]) => !text.includes('extra_id'));
  for (const [text, ids] of plain) expect(encode(tokenizer, text), JSON.stringify(text)).toEqual(ids);
});

test("normalises by a tokenizer.json's table, before what follows it there", async () => {
  const { pieces, unknownId, charsmap } = readSentencePiece(bytes, 'spiece.model');
  const json = (table: string) =>
    JSON.stringify({
      normalizer: {
        type: 'Sequence',
        normalizers: [{ type: 'Precompiled', precompiled_charsmap: table }, { type: 'Lowercase' }],
      },
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      model: { type: 'Unigram', vocab: pieces, unk_id: unknownId },
    });
  const make = (table: string) =>
    Tokenizer.fromFiles({
      tokenizerJson: json(table),
      tokenizerConfig: '{"tokenizer_class": "T5Tokenizer"}',
    });
  const tokenizer = await make(Buffer.from(charsmap).toString('base64'));
  expect(tokenizer.tokenize('ﬁnds e\u0301 RED')).toEqual(tokenizer.tokenize('finds é red'));
  await expect(make('not base64!')).rejects.toThrow(ConfigError);
  await expect(make('AAAA')).rejects.toThrow(FileFormatError);
});

describe('refuses', () => {
  test('a repository without either file', async () => {
    await expect(Tokenizer.fromFiles({ tokenizerConfig })).rejects.toThrow(NotFoundError);
  });

  test('another end token', async () => {
    const other = tokenizerConfig.replace('"eos_token": "</s>"', '"eos_token": "<end>"');
    const files = { spieceModel: bytes, tokenizerConfig: other };
    await expect(Tokenizer.fromFiles(files)).rejects.toThrow(ConfigError);
  });

  test.each<[string, number[], RegExp]>([
    ['nothing', [], /0 of 0 pieces/],
    ['other kinds of models', [0x12, 2, 0x18, 2], /type 2, not unigram/],
    ['a number cut off', [0x80], /ends within a number/],
    ['a number that does not end', Array.from({ length: 12 }, () => 0x80), /./],
    ['a message that is too long', [0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f], /longer than what holds it/],
    ['groups', [0x0b], /unknown kind 3/],
    ['a number for a piece', [0x08, 1], /number stands where bytes/],
    ['a piece that is no text', [0x0a, 3, 0x0a, 1, 0xff], /not UTF-8/],
    ['a score that is no number', [0x0a, 5, 0x15, 0, 0, 0xc0, 0x7f], /score of "" is NaN/],
    ['a score of eight bytes', [0x0a, 9, 0x11, 0, 0, 0, 0, 0, 0, 0, 0], /no float/],
  ])('%s', (_name, content, message) => {
    const read = () => readSentencePiece(Uint8Array.from(content), 'spiece.model');
    expect(read).toThrow(FileFormatError);
    expect(read).toThrow(message);
  });

  test('tables whose trie does not fit', () => {
    for (const table of [[], [8, 0, 0, 0, 1, 2], [3, 0, 0, 0, 1, 2, 3], [255, 255, 255, 255, 0, 0, 0, 0]])
      expect(() => readCharsmap(Uint8Array.from(table), 'x')).toThrow(FileFormatError);
  });
});
