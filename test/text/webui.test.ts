/** @file sd-webui's prompt syntax against tables worked out by hand from its documentation. */

import { describe, expect, it, test } from 'vitest';
import { OptionError } from '../../src/errors.ts';
import { parseAttention } from '../../src/text/webui/attention.ts';
import { chunkTokens, type WeightedTokens } from '../../src/text/webui/chunks.ts';
import { applyWeights } from '../../src/text/webui/emphasis.ts';
import { extractLoras } from '../../src/text/webui/networks.ts';
import { schedulePrompt } from '../../src/text/webui/schedule.ts';

describe('attention', () => {
  const up = 1.1;
  const down = 1 / 1.1;
  it.each<[string, [string, number][]]>([
    ['normal text', [['normal text', 1]]],
    ['', []],
    [
      'an (important) word',
      [
        ['an ', 1],
        ['important', up],
        [' word', 1],
      ],
    ],
    ['(unbalanced', [['unbalanced', up]]],
    ['[unbalanced', [['unbalanced', down]]],
    ['un)balanced]', [['un)balanced]', 1]]],
    ['\\(literal\\]', [['(literal]', 1]]],
    [
      'a \\(b\\) (c\\))',
      [
        ['a (b) ', 1],
        ['c)', up],
      ],
    ],
    ['back\\\\slash, sl\\ash', [['back\\slash, slash', 1]]],
    ['(unnecessary)(parens)', [['unnecessaryparens', up]]],
    ['((twice))', [['twice', up * up]]],
    ['[[less]]', [['less', down * down]]],
    ['([both])', [['both', down * up]]],
    ['(a:1.5)', [['a', 1.5]]],
    ['(a: .5 )', [['a', 0.5]]],
    [
      '(a:-1)(b:+2.)',
      [
        ['a', -1],
        ['b', 2],
      ],
    ],
    ['(a:0)', [['a', 0]]],
    ['a:1.5) b', [['a:1.5) b', 1]]],
    ['[a:1.5]', [['a:1.5', down]]],
    ['(time: noon)', [['time: noon', up]]],
    ['(a\\:b:1.2)', [['a:b', 1.2]]],
    ['(\\(a\\):1.2)', [['(a)', 1.2]]],
    ['[(a:1.5)]', [['a', 1.5 * down]]],
    ['((a:1.5):2)', [['a', 3]]],
    ['(a:1.5', [['a:1.5', up]]],
    [
      '(a(b:2)c:3)',
      [
        ['a', 3],
        ['b', 6],
        ['c', 3],
      ],
    ],
    [
      'a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).',
      [
        ['a ', 1],
        ['house', 1.3 * up * up],
        [' ', up],
        ['on', down * up],
        [' a ', up],
        ['hill', 0.5 * up],
        [', sun, ', up],
        ['sky', up * up * up * up],
        ['.', up],
      ],
    ],
  ])('%j', (prompt, expected) => {
    const pieces = parseAttention(prompt).map((piece) =>
      piece === 'BREAK' ? piece : [piece.text, Number(piece.weight.toFixed(12))],
    );
    expect(pieces).toEqual(expected.map(([text, weight]) => [text, Number(weight.toFixed(12))]));
  });

  // By hand, from parse_prompt_attention and tokenize_line of stable-diffusion-webui.
  it.each<[string, (string | [string, number])[]]>([
    ['a BREAK b, BREAKFAST break', [['a', 1], 'BREAK', ['b, BREAKFAST break', 1]]],
    ['a\nBREAK\tBREAK', [['a', 1], 'BREAK', 'BREAK']],
    [
      '(c BREAK d:2)',
      [
        ['c', 2],
        ['BREAK', -2],
        ['d', 2],
      ],
    ],
    [
      '(c BREAK d)',
      [
        ['c', up],
        ['BREAK', -up],
        ['d', up],
      ],
    ],
    [
      '[c BREAK d]',
      [
        ['c', down],
        ['BREAK', -down],
        ['d', down],
      ],
    ],
    [
      '(c BREAK d',
      [
        ['c', up],
        ['BREAK', -up],
        ['d', up],
      ],
    ],
    ['(c BREAK d:1)', [['c', 1], 'BREAK', ['d', 1]]],
    ['((c BREAK d:0.5):2)', [['c', 1], 'BREAK', ['d', 1]]],
    [
      '(BREAK:-1)e',
      [
        ['BREAK', 1],
        ['e', 1],
      ],
    ],
    ['(c BREAK d:0)', [['cBREAKd', 0]]],
    ['(c) BREAK (d:1.2)', [['c', up], 'BREAK', ['d', 1.2]]],
  ])('reads BREAK in %j', (prompt, expected) => {
    const pieces = parseAttention(prompt).map((piece) =>
      piece === 'BREAK' ? piece : [piece.text, piece.weight],
    );
    expect(pieces).toEqual(expected);
  });

  it.each([
    ['(a:1.2.3)', /"1\.2\.3" is not a weight/],
    ['(a:.)', /"\." is not a weight/],
    [`(a:${'9'.repeat(400)})`, /weight Infinity/],
    ['('.repeat(101), /over 100 brackets/],
  ])('refuses %.30s', (prompt, message) => {
    expect(() => parseAttention(prompt)).toThrow(OptionError);
    expect(() => parseAttention(prompt)).toThrow(message);
  });
});

describe('schedule', () => {
  /** As [last step, text], counted from 1. */
  const schedule = (prompt: string, steps = 10): [number, string][] => {
    const texts = schedulePrompt(prompt, steps);
    return texts.map(({ text }, i) => [texts[i + 1]?.from ?? steps, text]);
  };
  it.each<[string, [number, string][]]>([
    ['test', [[10, 'test']]],
    ['', [[10, '']]],
    [
      'a [b:3]',
      [
        [3, 'a '],
        [10, 'a b'],
      ],
    ],
    [
      'a [b: 3 ]',
      [
        [3, 'a '],
        [10, 'a b'],
      ],
    ],
    [
      'a [b::3]',
      [
        [3, 'a b'],
        [10, 'a '],
      ],
    ],
    [
      'a [b:c:3]',
      [
        [3, 'a b'],
        [10, 'a c'],
      ],
    ],
    [
      'a [[[b]]:2]',
      [
        [2, 'a '],
        [10, 'a [[b]]'],
      ],
    ],
    [
      '[(a:2):3]',
      [
        [3, ''],
        [10, '(a:2)'],
      ],
    ],
    [
      'a [b : c : 1] d',
      [
        [1, 'a b  d'],
        [10, 'a  c  d'],
      ],
    ],
    [
      'a[b:[c:d:2]:1]e',
      [
        [1, 'abe'],
        [2, 'ace'],
        [10, 'ade'],
      ],
    ],
    ['a [unbalanced', [[10, 'a [unbalanced']]],
    [
      'a [b:.5] c',
      [
        [5, 'a  c'],
        [10, 'a b c'],
      ],
    ],
    [
      '[a:b:0.25]',
      [
        [2, 'a'],
        [10, 'b'],
      ],
    ],
    ['[a:b:1.0]', [[10, 'a']]],
    [
      '[a:b:1]',
      [
        [1, 'a'],
        [10, 'b'],
      ],
    ],
    ['[a:b:99]', [[10, 'a']]],
    ['[a:b:0]', [[10, 'b']]],
    ['[a:b:-2]', [[10, 'b']]],
    [
      '[a:b:3e0]',
      [
        [3, 'a'],
        [10, 'b'],
      ],
    ],
    [
      '((a][:b:c [d:3]',
      [
        [3, '((a][:b:c '],
        [10, '((a][:b:c d'],
      ],
    ],
    ['[less] [a:b]', [[10, '[less] [a:b]']]],
    [
      '[(a:1.3):(b:0.7):2]',
      [
        [2, '(a:1.3)'],
        [10, '(b:0.7)'],
      ],
    ],
    [
      '(x [a:b:0.5]:1.2) BREAK [c::3]',
      [
        [3, '(x a:1.2) BREAK c'],
        [5, '(x a:1.2) BREAK '],
        [10, '(x b:1.2) BREAK '],
      ],
    ],
    ['[a:b:c:3]', [[10, '[a:b:c:3]']]],
    ['[a:b:three]', [[10, '[a:b:three]']]],
    ['[a|b:3]', [[10, '[a|b:3]']]],
    [
      '[a \\[b\\]\\:c:3]',
      [
        [3, ''],
        [10, 'a \\[b\\]\\:c'],
      ],
    ],
    ['\\[a:b:3\\]', [[10, '\\[a:b:3\\]']]],
    [
      '[a (b:c:d) [e:2] :3]',
      [
        [2, '[a (b:c:d)  :3]'],
        [10, '[a (b:c:d) e :3]'],
      ],
    ],
    ['[a(b:3]', [[10, '[a(b:3]']]],
    ['time: 3 | 4', [[10, 'time: 3 | 4']]],
  ])('%j', (prompt, expected) => {
    expect(schedule(prompt)).toEqual(expected);
  });

  it('alternates step by step', () => {
    expect(schedule('[cow|horse] in a field', 4)).toEqual([
      [1, 'cow in a field'],
      [2, 'horse in a field'],
      [3, 'cow in a field'],
      [4, 'horse in a field'],
    ]);
    expect(schedule('([a|b]:1.2) [c:d:1]', 3)).toEqual([
      [1, '(a:1.2) c'],
      [2, '(b:1.2) d'],
      [3, '(a:1.2) d'],
    ]);
    expect(schedule('[[a|b]:c:2]', 4)).toEqual([
      [1, 'a'],
      [2, 'b'],
      [4, 'c'],
    ]);
    expect(schedule('[fe|]male', 3)).toEqual([
      [1, 'female'],
      [2, 'male'],
      [3, 'female'],
    ]);
    expect(schedule('[fe|||]male', 6)).toEqual([
      [1, 'female'],
      [4, 'male'],
      [5, 'female'],
      [6, 'male'],
    ]);
    expect(schedule('[a|[b:c:2]|(d:1.1)]', 6)).toEqual([
      [1, 'a'],
      [2, 'b'],
      [3, '(d:1.1)'],
      [4, 'a'],
      [5, 'c'],
      [6, '(d:1.1)'],
    ]);
  });

  it('refuses brackets without end', () => {
    expect(() => schedulePrompt('['.repeat(101), 10)).toThrow(OptionError);
  });
});

describe('LoRAs', () => {
  it.each<[string, string, object[]]>([
    ['a <lora:x> b', 'a  b', [{ name: 'x', textEncoder: 1, unet: 1 }]],
    ['<lora:x y-2:0.8>', '', [{ name: 'x y-2', textEncoder: 0.8, unet: 0.8 }]],
    ['<lora:x:0.5:1.5>', '', [{ name: 'x', textEncoder: 0.5, unet: 1.5 }]],
    ['<lyco:x:unet=0.5:te=-1>', '', [{ name: 'x', textEncoder: -1, unet: 0.5 }]],
    ['<lora:x:unet=0.5>', '', [{ name: 'x', textEncoder: 1, unet: 0.5 }]],
    ['<lora:x:te=0.5>', '', [{ name: 'x', textEncoder: 0.5, unet: 0.5 }]],
    ['<lora:x:0.5:0.2:te=2>', '', [{ name: 'x', textEncoder: 2, unet: 0.2 }]],
    [
      '[a<lora:x:1>:b<lora:y:2>:3]',
      '[a:b:3]',
      [
        { name: 'x', textEncoder: 1, unet: 1 },
        { name: 'y', textEncoder: 2, unet: 2 },
      ],
    ],
    ['a <cat> b<c', 'a <cat> b<c', []],
  ])('%j', (prompt, text, loras) => {
    expect(extractLoras(prompt)).toEqual({ text, loras });
  });

  it.each([
    ['<hypernet:x:1>', /<hypernet:x:1> is not supported/],
    ['<lora:x:a>', /"a" is not a weight/],
    ['<lora:x:1:1:1>', /"1" is not known/],
    ['<lora:x:dyn=4>', /"dyn=4" is not known/],
    ['<lora: :1>', /no name/],
    ['<lora:x:1> <lora:x:2>', /twice/],
  ])('refuses %j', (prompt, message) => {
    expect(() => extractLoras(prompt)).toThrow(OptionError);
    expect(() => extractLoras(prompt)).toThrow(message);
  });
});

describe('chunks', () => {
  const COMMA = 0;
  const options = { length: 75, comma: COMMA };
  /** Words 1, 2, 3, ..., commas at some places. */
  const words = (count: number, ...commas: number[]): WeightedTokens => ({
    ids: Array.from({ length: count }, (_, i) => (commas.includes(i) ? COMMA : i + 1)),
    weight: 1,
  });
  const lengths = (...pieces: (WeightedTokens | 'BREAK')[]) =>
    chunkTokens(pieces, options).map(({ ids }) => ids.length);
  it.each<[string, (WeightedTokens | 'BREAK')[], number[]]>([
    ['nothing', [], [0]],
    ['what fits', [words(75)], [75]],
    ['a word too many', [words(76)], [75, 1]],
    ['two chunks and a half', [words(190)], [75, 75, 40]],
    ['a comma 20 tokens back', [words(80, 55)], [56, 24]],
    ['a comma 21 tokens back', [words(80, 54)], [75, 5]],
    ['the last of several commas', [words(80, 60, 70)], [71, 9]],
    ['a comma at the end', [words(80, 74)], [75, 5]],
    ['a comma that no longer fits', [words(80, 60, 75)], [75, 5]],
    ['a comma in every chunk', [words(160, 70, 130)], [71, 60, 29]],
    ['a comma of the chunk before', [words(160, 74)], [75, 75, 10]],
    ['BREAK', [words(3), 'BREAK', words(80)], [3, 75, 5]],
    ['BREAK at the beginning and end', ['BREAK', words(3), 'BREAK'], [0, 3]],
  ])('%s', (_name, pieces, expected) => {
    expect(lengths(...pieces)).toEqual(expected);
  });

  it('keep the order and the weights', () => {
    const chunks = chunkTokens(
      [words(70, 60), { ids: [101, 102, 103, 104, 105, 106], weight: 1.5 }],
      options,
    );
    expect(chunks.flatMap(({ ids }) => ids)).toEqual([...words(70, 60).ids, 101, 102, 103, 104, 105, 106]);
    expect(chunks[1].ids).toEqual([62, 63, 64, 65, 66, 67, 68, 69, 70, 101, 102, 103, 104, 105, 106]);
    expect(chunks[1].weights).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]);
  });

  it('keep the vectors of an embedding together', () => {
    const expand = (id: number) => (id === 7000 ? [7000, 7001, 7002] : [id]);
    const chunks = chunkTokens([words(73), { ids: [7000, 5], weight: 2 }], { ...options, expand });
    expect(chunks.map(({ ids }) => ids.length)).toEqual([73, 4]);
    expect(chunks[1]).toEqual({ ids: [7000, 7001, 7002, 5], weights: [2, 2, 2, 2] });
    const long = { ...options, expand: () => words(76).ids };
    expect(() => chunkTokens([words(1)], long)).toThrow(/76 vectors where 75 fit/);
  });

  it('end somewhere', () => {
    expect(() => chunkTokens([words(75 * 256 + 1)], options)).toThrow(/over 19200 tokens/);
  });
});

test('weights are applied and the mean is restored', () => {
  const weighted = applyWeights(Float32Array.of(1, 2, 3, 4), [1, 2]);
  const factor = 2.5 / ((1 + 2 + 6 + 8) / 4);
  for (const [i, value] of [1, 2, 6, 8].entries()) expect(weighted[i]).toBeCloseTo(value * factor, 6);
  expect(() => applyWeights(Float32Array.of(1, 2, 3, 4), [0, 0])).toThrow(/cancel the whole text/);
});
