/** @file Parsers of files that people download, on damaged ones: a result or a typed error, and soon. */

import { readFileSync } from 'node:fs';
import { beforeAll, it } from 'vitest';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { decodePng, encodePng } from '../../src/image/png.ts';
import { readPng, writePng } from '../../src/image/png-chunks.ts';
import { readRecipe, recipeTexts } from '../../src/image/recipe.ts';
import { readTextualInversion } from '../../src/loaders/textual-inversion.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import { fixturePath } from '../support/fixtures.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { damage, expectBoth, fuzz } from './fuzz.ts';
import { RECIPE } from './recipe.ts';

let png: Uint8Array;
beforeAll(async () => {
  const data = Uint8ClampedArray.from({ length: 9 * 5 * 4 }, (_, i) => (i * 37) % 256);
  png = await encodePng({ width: 9, height: 5, data }, { text: recipeTexts(RECIPE) });
});

it('PNG pictures with texts', async () => {
  const counts = await fuzz(
    (random) => {
      if (random.below(2) === 0) return damage(random, png);
      // Damage that checksums do not reveal.
      const chunks = readPng(png, 'picture');
      const target = random.below(chunks.length);
      return writePng(
        chunks.map((chunk, i) => (i === target ? { ...chunk, data: damage(random, chunk.data) } : chunk)),
      );
    },
    (input) => readRecipe(decodePng(input, 'picture').text),
    (input) => Buffer.from(input).toString('base64'),
  );
  expectBoth(counts);
});

it("SentencePiece's files", async () => {
  const spieceModel = new Uint8Array(readFileSync(fixturePath('text/spiece/spiece.model')));
  const counts = await fuzz(
    (random) => damage(random, spieceModel),
    async (input) => (await Tokenizer.fromFiles({ spieceModel: input })).tokenize('a red ﬁnd e\u0301 字'),
    (input) => Buffer.from(input).toString('base64'),
  );
  expectBoth(counts);
});

it('safetensors files', async () => {
  const file = makeSafetensors({ emb_params: { shape: [2, 3] } });
  const counts = await fuzz(
    (random) => damage(random, file),
    async (input) => {
      const opened = await openSafetensors(bufferSource('file', input));
      for (const name of opened.names()) await opened.read(name);
      await readTextualInversion(opened);
    },
    (input) => Buffer.from(input).toString('base64'),
  );
  expectBoth(counts);
});
