/** @file The JSON reader: agreement with JSON.parse, Python's literals, duplicate keys, and places of errors. */
import { expect, test } from 'vitest';
import { FileFormatError } from '../../src/errors.ts';
import { parseConfigJson, parseJson } from '../../src/loaders/json.ts';

const valid = [
  '{}',
  ' [ ] ',
  '{"a":[1,-2.5e+3,0.1,true,false,null,"x"],"b":{"c":{}}}',
  '"\\u00e9\\n\\"\\\\ \\ud83d\\ude00"',
  '-0',
  '{"__proto__":1,"constructor":2}',
  '[[[[[1]]]]]',
];
test.each(valid)('%s reads as JSON.parse reads it', (text) => {
  const expected: unknown = JSON.parse(text);
  expect(parseJson(text, 'f')).toEqual(expected);
  expect(JSON.stringify(parseJson(text, 'f'))).toBe(JSON.stringify(expected));
});

const broken = [
  '',
  '{',
  '{"a"}',
  '{"a":1,}',
  '[1,]',
  '[1 2]',
  '"x',
  '"\\q"',
  '"\n"',
  '01',
  '1.',
  '+1',
  'tru',
  '{a:1}',
  '1 2',
  'NaN',
  "{'a':1}",
];
test.each(broken)('%j is refused', (text) => {
  expect(() => parseJson(text, 'f.json')).toThrow(FileFormatError);
  expect(() => parseJson(text, 'f.json')).toThrow(/^f\.json: broken JSON at line/);
});

test("Python's literals are read in configurations only", () => {
  expect(parseConfigJson('{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN"}', 'f')).toEqual({
    a: Number.NaN,
    b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    c: 'NaN',
  });
});

test('errors name line and column', () => {
  expect(() => parseConfigJson('{\n  "a": 1\n  "b": 2\n}', 'model/config.json')).toThrow(
    'model/config.json: broken JSON at line 3, column 3: expected "}"',
  );
});

test('a key that occurs twice', () => {
  expect(parseConfigJson('{"a":1,"a":2}', 'f')).toEqual({ a: 2 });
  expect(() => parseJson('{"a":1,\n "a":2}', 'f', { uniqueKeys: true })).toThrow(
    'f: broken JSON at line 2, column 2: the key "a" occurs twice',
  );
});

test('nesting is limited', () => {
  expect(() => parseJson('['.repeat(100_000), 'f')).toThrow(/nested more than 200 deep/);
});

test('a key named __proto__ is data', () => {
  const value = parseJson('{"__proto__": {"polluted": true}}', 'f');
  expect(JSON.stringify(value)).toBe('{"__proto__":{"polluted":true}}');
  expect(Reflect.get({}, 'polluted')).toBe(undefined);
});
