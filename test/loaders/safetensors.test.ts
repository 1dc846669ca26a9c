/** @file Safetensors: all element types as Python writes them, every check of the header, and reading in pieces. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FileFormatError, NotFoundError } from '../../src/errors.ts';
import { bufferSource, type ByteSource } from '../../src/loaders/byte-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { expectTensor } from '../../src/loaders/weight-source.ts';
import { decodeToF32 } from '../../src/tensor/decode.ts';
import { STORED_DTYPES } from '../../src/tensor/dtype.ts';
import values from '../fixtures/loaders/all_dtypes.json' with { type: 'json' };
import { makeSafetensors, rawSafetensors } from './make-safetensors.ts';

const fixture = readFileSync(new URL('../fixtures/loaders/all_dtypes.safetensors', import.meta.url));
const open = async (bytes: Uint8Array) => openSafetensors(bufferSource('m.safetensors', bytes));

describe('a file that Python wrote', () => {
  test('all element types, a scalar, an empty tensor and a strange name', async () => {
    const weights = await open(fixture);
    expect([...weights.names()].sort()).toEqual(Object.keys(values).sort());
    expect(weights.metadata).toEqual(new Map([['format', 'pt']]));
    for (const [name, expected] of Object.entries(values).filter(([name]) => name !== 'unknown')) {
      const { dtype } = weights.info(name);
      expect([...decodeToF32(await weights.read(name), dtype)]).toEqual(expected);
    }
    const dtypes = Object.keys(STORED_DTYPES);
    expect(dtypes.map((name) => weights.info(name).dtype)).toEqual(dtypes);
    expect(weights.info('scalar').shape).toEqual([]);
    expect(weights.info('empty').shape).toEqual([0, 4]);
    expect(weights.info('F16')).toEqual({
      dtype: 'F16',
      shape: [2, 3],
      byteLength: 12,
      file: 'm.safetensors',
    });
  });

  test('an unknown element type matters only to who wants that tensor', async () => {
    const weights = await open(fixture);
    expect(weights.has('unknown')).toBe(true);
    expect(() => weights.info('unknown')).toThrow(
      /m\.safetensors: unknown: the element type "U16" is not read\. Use a version of the model stored as one of F64/,
    );
    await expect(weights.read('unknown')).rejects.toThrow(FileFormatError);
  });
});

describe('reading', () => {
  const bytes = makeSafetensors({
    a: { shape: [3] },
    b: { shape: [2, 5], dtype: 'F16' },
    c: { shape: [1], dtype: 'I64' },
  });

  test('in pieces of whole elements', async () => {
    const weights = await open(bytes);
    const whole = await weights.read('b');
    const sizes: number[] = [];
    const joined: number[] = [];
    for await (const chunk of weights.readChunks('b', 7)) {
      sizes.push(chunk.length);
      joined.push(...chunk);
    }
    expect(sizes).toEqual([6, 6, 6, 2]);
    expect(joined).toEqual([...whole]);
    await expect(weights.readChunks('c', 7)[Symbol.asyncIterator]().next()).rejects.toThrow(RangeError);
  });

  test('only the bytes that are asked for', async () => {
    const ranges: [number, number][] = [];
    const inner = bufferSource('m', bytes);
    const source: ByteSource = {
      ...inner,
      read: async (offset, length) => {
        ranges.push([offset, length]);
        return inner.read(offset, length);
      },
    };
    const weights = await openSafetensors(source);
    const dataStart = bytes.length - 12 - 20 - 8;
    await weights.read('b');
    expect(ranges.slice(0, -1).every(([offset, length]) => offset + length <= Math.max(dataStart, 64))).toBe(
      true,
    );
    expect(ranges.at(-1)).toEqual([dataStart + 12, 20]);
  });

  test('a missing tensor names the nearest ones', async () => {
    const weights = await open(
      makeSafetensors({ 'conv_in.weight': { shape: [1] }, 'conv_in.bias': { shape: [1] } }),
    );
    expect(() => weights.info('conv_in.wieght')).toThrow(NotFoundError);
    expect(() => weights.info('conv_in.wieght')).toThrow(
      'm.safetensors: conv_in.wieght: there is no such tensor. The nearest names there are conv_in.weight, conv_in.bias;',
    );
    await expect(weights.read('x')).rejects.toThrow(NotFoundError);
    const none = await open(rawSafetensors('{}'));
    expect(() => none.info('x')).toThrow(/The file has no tensors/);
  });

  test('a wrong shape is told before anything is read', async () => {
    const weights = await open(bytes);
    expect(expectTensor(weights, 'b', [2, 5]).dtype).toBe('F16');
    expect(() => expectTensor(weights, 'b', [5, 2])).toThrow(
      'm.safetensors: b: has the shape [2, 5], but the configuration asks for [5, 2]. Use the weights and the config.json',
    );
    expect(() => expectTensor(weights, 'b', [10])).toThrow(FileFormatError);
  });

  test('an aborted read', async () => {
    const weights = await open(bytes);
    await expect(weights.read('a', AbortSignal.abort())).rejects.toThrow(/abort/i);
  });
});

describe('damaged files', () => {
  const entry = (dtype: string, shape: unknown, offsets: unknown) =>
    JSON.stringify({ dtype, shape, data_offsets: offsets });
  const one = (...args: Parameters<typeof entry>) => `{"t":${entry(...args)}}`;
  const data = new Uint8Array(8);
  const bad: [what: string, bytes: Uint8Array, message: RegExp][] = [
    ['empty', new Uint8Array(0), /has only 0 bytes/],
    ['seven bytes', new Uint8Array(7), /has only 7 bytes/],
    [
      'header over the limit',
      rawSafetensors('{}', data, 100_000_001n),
      /over the format's limit of 100000000/,
    ],
    ['a header length of 2^63', rawSafetensors('{}', data, 2n ** 63n), /over the format's limit/],
    ['header beyond the file', rawSafetensors('{}', data, 11n), /reaches beyond the file's 18 bytes/],
    ['an empty header', rawSafetensors('', data), /does not begin with "\{"/],
    ['a header of another kind', rawSafetensors('[1]'), /does not begin with "\{"/],
    ['broken JSON', rawSafetensors('{"t":}'), /broken JSON at line 1, column 6/],
    ['invalid UTF-8', rawSafetensors('{"t": 1}').fill(0xff, 9, 10), /not valid UTF-8/],
    [
      'a key twice',
      rawSafetensors(`{"t":${entry('F32', [2], [0, 8])},"t":${entry('F32', [2], [0, 8])}}`, data),
      /"t" occurs twice/,
    ],
    [
      'offsets beyond the data',
      rawSafetensors(one('F32', [3], [0, 12]), data),
      /t: data_offsets \[0, 12\] reach beyond the 8 bytes/,
    ],
    // HF's own JavaScript check compares with the whole file's size and lets this one through.
    [
      'offsets inside the file but beyond the data',
      rawSafetensors(one('U8', [40], [0, 40]), data),
      /reach beyond the 8 bytes/,
    ],
    ['offsets that run backwards', rawSafetensors(one('F32', [2], [8, 0]), data), /run backwards/],
    [
      'a size that does not match',
      rawSafetensors(one('F32', [3], [0, 8]), data),
      /F32 of shape \[3\] is 12 bytes, but it has 8/,
    ],
    [
      'a shape that overflows',
      rawSafetensors(one('F32', [2 ** 40, 2 ** 40], [0, 8]), data),
      /is 4\.8\d+e\+24 bytes, but it has 8/,
    ],
    ['a negative dimension', rawSafetensors(one('F32', [-2, -1], [0, 8]), data), /t: shape\.0: .*>=0/],
    ['a fractional dimension', rawSafetensors(one('F32', [0.5, 4], [0, 8]), data), /t: shape\.0/],
    ['an unsafe offset', rawSafetensors(one('F32', [2], [0, 2 ** 53]), data), /t: data_offsets\.1/],
    ['three offsets', rawSafetensors(one('F32', [2], [0, 8, 8]), data), /t: data_offsets/],
    ['rank 17', rawSafetensors(one('F32', Array(17).fill(1), [0, 4]), data), /t: shape/],
    ['a missing field', rawSafetensors('{"t":{"dtype":"F32","shape":[2]}}', data), /t: data_offsets/],
    ['a tensor that is no object', rawSafetensors('{"t":[1]}', data), /m\.safetensors: t/],
    [
      'metadata that is no text',
      rawSafetensors('{"__metadata__":{"a":1}}'),
      /__metadata__: is not a map of strings/,
    ],
    [
      'overlap',
      rawSafetensors(`{"a":${entry('F32', [1], [0, 4])},"b":${entry('U8', [6], [2, 8])}}`, data),
      /b: overlaps with a/,
    ],
    [
      'a gap',
      rawSafetensors(`{"a":${entry('U8', [1], [0, 1])},"b":${entry('F32', [1], [4, 8])}}`, data),
      /b: there is a gap of 3 bytes after a/,
    ],
    [
      'a gap at the beginning',
      rawSafetensors(one('F32', [1], [4, 8]), data),
      /gap of 4 bytes after the beginning/,
    ],
    [
      'bytes after the last tensor',
      rawSafetensors(one('F32', [1], [0, 4]), data),
      /4 bytes after the last tensor belong to none/,
    ],
  ];
  test.each(bad)('%s', async (_, bytes, message) => {
    const failed = open(bytes);
    await expect(failed).rejects.toThrow(FileFormatError);
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.toThrow(/^m\.safetensors: /);
  });

  test('an oversized header is refused before it is read', async () => {
    let most = 0;
    const inner = bufferSource('m', rawSafetensors('{}', data, 99_000_000n));
    const source: ByteSource = {
      ...inner,
      size: 120_000_000,
      read: async (offset, length) => {
        most = Math.max(most, length);
        return inner.read(offset, Math.min(length, inner.size - offset));
      },
    };
    await expect(openSafetensors({ ...source, size: 1000 })).rejects.toThrow(
      /reaches beyond the file's 1000 bytes/,
    );
    expect(most).toBeLessThanOrEqual(64);
  });

  test('a tensor named like an object method or prototype is an ordinary name', async () => {
    const weights = await open(rawSafetensors(`{"__proto__":${entry('U8', [8], [0, 8])}}`, data));
    expect([...weights.names()]).toEqual(['__proto__']);
    expect(weights.info('__proto__').shape).toEqual([8]);
    expect(weights.has('constructor')).toBe(false);
    expect(() => weights.info('toString')).toThrow(NotFoundError);
  });

  test('spaces after the header are allowed, as writers pad with them', async () => {
    const weights = await open(rawSafetensors(`${one('F32', [2], [0, 8])}   `, data));
    expect(weights.has('t')).toBe(true);
  });
});

describe('other formats under this name', () => {
  const latin = (text: string) => new Uint8Array(Buffer.from(text.padEnd(80, '.'), 'latin1'));
  const others: [what: string, bytes: Uint8Array, message: RegExp][] = [
    [
      'a torch.save zip',
      latin('PK\x03\x04\x00\x00\x08\x08'),
      /a zip archive, most likely a PyTorch pickle.*never opens them.*safe_serialization=True/,
    ],
    ['an old pickle', latin('\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P'), /a Python pickle/],
    ['GGUF', latin('GGUF\x03\x00\x00\x00'), /a GGUF or GGML file/],
    [
      'a Git LFS pointer',
      latin('version https://git-lfs.github.com/spec/v1\noid'),
      /a Git LFS pointer.*git lfs pull/,
    ],
    ['a web page', latin('<!DOCTYPE html><html>'), /a web page/],
    ['JSON', latin('{"error":"Unauthorized"}'), /a JSON text/],
  ];
  test.each(others)('%s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(message);
    await expect(open(bytes)).rejects.toThrow(FileFormatError);
  });
});
