/** @file Parsers of what people type and download, on damaged inputs: a result or a typed error, and soon. */

import { readFileSync } from 'node:fs';
import { beforeAll, expect, it, vi } from 'vitest';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { decodePng, encodePng } from '../../src/image/png.ts';
import { readPng, writePng } from '../../src/image/png-chunks.ts';
import { readRecipe, recipeTexts } from '../../src/image/recipe.ts';
import { parseWebuiParameters } from '../../src/image/webui-parameters.ts';
import { readTextualInversion } from '../../src/loaders/textual-inversion.ts';
import { readSchedule, tokenizePrompt } from '../../src/text/prompt-tokens.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import { WEBUI } from '../../src/text/webui-part.ts';
import { fixturePath } from '../support/fixtures.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { damage, fuzz, randomText, type FuzzCounts } from './fuzz.ts';

await WEBUI.load();
const SECONDS = 2;
vi.setConfig({ testTimeout: 60_000 + 1000 * Number(process.env['CALOTYPE_FUZZ_SECONDS'] ?? 0) });
const folder = fixturePath('pipelines/tiny-sd/tokenizer');
const tokenizer = await Tokenizer.fromFiles({
  vocabJson: readFileSync(`${folder}/vocab.json`, 'utf8'),
  mergesTxt: readFileSync(`${folder}/merges.txt`, 'utf8'),
  tokenizerConfig: readFileSync(`${folder}/tokenizer_config.json`, 'utf8'),
});

/** A fuzzer that only ever refuses, or never does, tests nothing. */
function expectBoth({ accepted, refused }: FuzzCounts): void {
  expect(accepted).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
}

const PROMPT = [
  '(',
  ')',
  '[',
  ']',
  ':',
  '|',
  '\\',
  ',',
  ' ',
  '\n',
  '<',
  '>',
  '=',
  '.',
  '-',
  '+',
  '"',
  '\0',
  '\ud800',
  'İ',
  'fox',
  'a red',
  'BREAK',
  ' AND ',
  '1.3',
  ':1.2)',
  ':0.5]',
  ':3]',
  ':-1e9]',
  '9'.repeat(30),
  '((((',
  '[[[[',
  '|||',
  '<lora:x:1>',
  '<lora:',
  ':te=',
  '\\(',
  '\\]',
  '🦊',
  '字',
  'word '.repeat(40),
  ' '.repeat(200),
];

it('prompts in webui syntax', async () => {
  const counts = await fuzz(
    SECONDS,
    (random) => ({
      prompt: randomText(random, PROMPT, random.pick([4, 20, 200])),
      steps: 1 + random.below(30),
    }),
    ({ prompt, steps }) => {
      const schedule = readSchedule(prompt, 'webui', steps, 'prompt');
      expect(schedule[0].from).toBe(0);
      for (const { text } of schedule.slice(0, 3)) {
        const { chunks } = tokenizePrompt(tokenizer, text, { syntax: 'webui', field: 'prompt' });
        for (const { ids, weights } of chunks) {
          expect(ids).toHaveLength(77);
          if (weights) expect([weights.length, weights.every(Number.isFinite)]).toEqual([77, true]);
        }
      }
    },
    (input) => JSON.stringify(input),
  );
  expectBoth(counts);
});

const RECIPE = {
  calotype: '0.1.0',
  model: 'm',
  prompt: 'a "fox", \\ 🦊',
  negativePrompt: 'x',
  scheduler: 'DDIMScheduler',
  numInferenceSteps: 20,
  guidanceScale: 7.5,
  seed: 4,
  width: 64,
  height: 64,
};

it('recipes', async () => {
  const text = new TextEncoder().encode(recipeTexts(RECIPE)['calotype']);
  const counts = await fuzz(
    SECONDS,
    (random) => new TextDecoder().decode(damage(random, text)),
    (input) => readRecipe(new Map([['calotype', input]])),
    (input) => JSON.stringify(input),
  );
  expectBoth(counts);
});

const PARAMETERS = [
  '\n',
  ', ',
  ': ',
  '"',
  '\\',
  ' ',
  'fox',
  'Negative prompt: ',
  '\nNegative prompt:',
  '"a\\"b", ',
  '"\\u12',
  'Steps: 20',
  'Sampler: Euler a',
  'CFG scale: 7',
  'Seed: 1',
  'Size: 8x8',
  'Lora hashes: "a: b, c: d"',
  '\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8',
  'a'.repeat(300),
  ' '.repeat(300),
  ':'.repeat(50),
  ','.repeat(50),
];

it('texts of sd-webui', async () => {
  const counts = await fuzz(
    SECONDS,
    (random) => randomText(random, PARAMETERS, random.pick([4, 30, 300])),
    (input) => parseWebuiParameters(input),
    (input) => JSON.stringify(input),
  );
  expectBoth(counts);
});

let png: Uint8Array;
beforeAll(async () => {
  const data = Uint8ClampedArray.from({ length: 9 * 5 * 4 }, (_, i) => (i * 37) % 256);
  png = await encodePng({ width: 9, height: 5, data }, { text: recipeTexts(RECIPE) });
});

it('PNG pictures with texts', async () => {
  const counts = await fuzz(
    SECONDS,
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
    SECONDS,
    (random) => damage(random, spieceModel),
    async (input) => (await Tokenizer.fromFiles({ spieceModel: input })).tokenize('a red ﬁnd e\u0301 字'),
    (input) => Buffer.from(input).toString('base64'),
  );
  expectBoth(counts);
});

it('safetensors files', async () => {
  const file = makeSafetensors({ emb_params: { shape: [2, 3] } });
  const counts = await fuzz(
    SECONDS,
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
