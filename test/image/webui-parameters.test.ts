/** @file The `parameters` text of sd-webui's pictures: what it says, and what is too unclear to be read. */

import { expect, it } from 'vitest';
import { FileFormatError } from '../../src/errors.ts';
import { parseWebuiParameters } from '../../src/image/webui-parameters.ts';
import { recipeTexts } from '../../src/image/recipe.ts';

const SETTINGS = 'Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 512x768';

it.each<[string, { prompt: string; negativePrompt?: string; more?: Record<string, string> }]>([
  [`a fox\n${SETTINGS}`, { prompt: 'a fox' }],
  [
    `a fox,\nred: yes, big\nNegative prompt: x,\ny\n${SETTINGS}`,
    { prompt: 'a fox,\nred: yes, big', negativePrompt: 'x,\ny' },
  ],
  [`Negative prompt: x\n${SETTINGS}`, { prompt: '', negativePrompt: 'x' }],
  [SETTINGS, { prompt: '' }],
  [
    `a\r\n${SETTINGS}, Model: x y, Lora hashes: "a: 1, \\"b\\": 2", Clip skip: 2`,
    { prompt: 'a', more: { Model: 'x y', 'Lora hashes': 'a: 1, "b": 2', 'Clip skip': '2' } },
  ],
])('%j', (text, { prompt, negativePrompt, more = {} }) => {
  const parameters = parseWebuiParameters(text);
  expect(parameters).toMatchObject({ prompt, negativePrompt });
  expect(Object.fromEntries(parameters.settings)).toEqual({
    Steps: '20',
    Sampler: 'DPM++ 2M Karras',
    'CFG scale': '7',
    Seed: '5',
    Size: '512x768',
    ...more,
  });
});

it('reads what is written here', () => {
  const recipe = { prompt: 'a "fox", big', negativePrompt: 'x: y', model: 'a,b', scheduler: 'DDIMScheduler' };
  const numbers = { numInferenceSteps: 4, guidanceScale: 7.5, seed: 1, width: 64, height: 72, calotype: '1' };
  const { parameters } = recipeTexts({ ...recipe, ...numbers });
  const { prompt, negativePrompt, settings } = parseWebuiParameters(parameters);
  expect([prompt, negativePrompt]).toEqual(['a "fox", big', 'x: y']);
  expect([...settings.values()]).toEqual(['4', 'DDIM', '7.5', '1', '64x72', 'a,b', 'calotype 1']);
});

it.each([
  ['', /does not say Steps/],
  ['a fox', /does not say Steps, Sampler, CFG scale, Seed, Size/],
  [`a\n${SETTINGS}, Seed: 6`, /says "Seed" twice/],
  [`a\n${SETTINGS}, and more`, /settings end at "and more"|settings end at " and more"/],
  [`a\nNegative prompt: b\nNegative prompt: c\n${SETTINGS}`, /"Negative prompt:" twice/],
  [`a\n${SETTINGS}, Model: "x\\u1"`, /parameters|JSON/],
  ['x'.repeat(2 ** 20 + 1), /1048577 characters/],
])('%.60j is refused', (text, message) => {
  expect(() => parseWebuiParameters(text, 'a.png')).toThrow(FileFormatError);
  expect(() => parseWebuiParameters(text, 'a.png')).toThrow(message);
});
