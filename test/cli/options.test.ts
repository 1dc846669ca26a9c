/** @file How option values are read, and what is said about those that cannot be. */
import { OptionError } from 'calotype';
import { describe, expect, it } from 'vitest';
import { readChoice, readInteger, readNumber, readSize, suggest } from '../../cli/src/options.ts';

const refused = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'option', message: expect.stringMatching(message) as unknown });

describe('readInteger', () => {
  it.each([
    ['20', 20],
    ['+3', 3],
    ['1', 1],
  ])('reads %s', (text, value) => expect(readInteger('--steps', text, { min: 1 })).toBe(value));

  it.each(['0', '-5', '2.5', '1e2', '0x10', 'x', '', ' 3', 'NaN', '99999999999999999999'])(
    'refuses %j',
    (text) => {
      expect(() => readInteger('--steps', text, { min: 1 })).toThrow(OptionError);
    },
  );

  it('names option, value, range and a remedy', () => {
    expect(() => readInteger('--steps', '0', { min: 1, max: 10_000 })).toThrow(
      refused(/^--steps: '0' is not a whole number from 1 up to 10000\. Give .*--steps 20/),
    );
    expect(() => readInteger('--seed', 'x')).toThrow(refused(/^--seed: 'x' is not a whole number\. Give /));
  });
});

describe('readNumber', () => {
  it.each([
    ['4', 4],
    ['7.5', 7.5],
    ['.5', 0.5],
    ['-1', -1],
    ['1e1', 10],
  ])('reads %s', (text, value) => expect(readNumber('--guidance', text)).toBe(value));

  it.each(['nan', 'NaN', 'Infinity', '1e999', '4,5', 'four', '', '0x4'])('refuses %j', (text) => {
    expect(() => readNumber('--guidance', text)).toThrow(
      refused(/^--guidance: .* is not a number\. Give a number/),
    );
  });

  it('keeps to the bounds', () => {
    expect(() => readNumber('--guidance-rescale', '1.01', { min: 0, max: 1 })).toThrow(
      refused(/from 0 up to 1/),
    );
  });
});

describe('readSize', () => {
  it.each([
    ['256x128', { width: 256, height: 128 }],
    ['512X512', { width: 512, height: 512 }],
    ['64', { width: 64, height: 64 }],
  ])('reads %s', (text, size) => expect(readSize('--size', text)).toEqual(size));

  it('offers the nearest multiple of 8', () => {
    expect(() => readSize('--size', '250x256')).toThrow(refused(/multiple of 8.*--size 248x256/));
    expect(() => readSize('--size', '3')).toThrow(refused(/multiple of 8.*--size 8x8/));
  });

  it('says which are too large', () => {
    expect(() => readSize('--size', '100000x8')).toThrow(refused(/'100000x8' is over 65536 pixels/));
  });

  it.each(['256x', 'x256', '256x256x256', '-8x8', '0x8', '256 x 256', '256*256', 'big'])(
    'refuses %j',
    (text) => {
      expect(() => readSize('--size', text)).toThrow(
        refused(/^--size: .* is not a size\. Give WIDTHxHEIGHT/),
      );
    },
  );
});

describe('readChoice and suggest', () => {
  it('suggests the nearest word, and only a near one', () => {
    expect(suggest('--setps', ['--steps', '--seed'])).toBe('Did you mean --steps? ');
    expect(suggest('--guidence', ['--guidance', '--guidance-rescale'])).toBe('Did you mean --guidance? ');
    expect(suggest('--quality', ['--steps', '--seed'])).toBe('');
  });

  it('lists the choices', () => {
    expect(readChoice('--backend', 'webgpu', ['webgpu', 'reference'])).toBe('webgpu');
    expect(() => readChoice('--backend', 'wegpu', ['webgpu', 'reference'])).toThrow(
      refused(/Did you mean webgpu\? It takes webgpu, reference\./),
    );
  });
});
