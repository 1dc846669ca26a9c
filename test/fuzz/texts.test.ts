/** @file Parsers of what people type and paste, on damaged inputs: a result or a typed error, and soon. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readRecipe, recipeTexts } from '../../src/image/recipe.ts';
import { parseWebuiParameters } from '../../src/image/webui-parameters.ts';
import { readSchedule, tokenizePrompt } from '../../src/text/prompt-tokens.ts';
import { Tokenizer } from '../../src/text/tokenizer.ts';
import { WEBUI } from '../../src/text/webui-part.ts';
import { fixturePath } from '../support/fixtures.ts';
import { damage, expectBoth, fuzz, randomText } from './fuzz.ts';
import { RECIPE } from './recipe.ts';

await WEBUI.load();
const folder = fixturePath('pipelines/tiny-sd/tokenizer');
const tokenizer = await Tokenizer.fromFiles({
  vocabJson: readFileSync(`${folder}/vocab.json`, 'utf8'),
  mergesTxt: readFileSync(`${folder}/merges.txt`, 'utf8'),
  tokenizerConfig: readFileSync(`${folder}/tokenizer_config.json`, 'utf8'),
});

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

it('recipes', async () => {
  const text = new TextEncoder().encode(recipeTexts(RECIPE)['calotype']);
  const counts = await fuzz(
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
    (random) => randomText(random, PARAMETERS, random.pick([4, 30, 300])),
    (input) => parseWebuiParameters(input),
    (input) => JSON.stringify(input),
  );
  expectBoth(counts);
});
