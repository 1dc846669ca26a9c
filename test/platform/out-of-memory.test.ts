/** @file Errors of engines without memory become typed ones that say what to change; all others stay as they are. */
import { expect, test } from 'vitest';
import { DownloadError, OutOfMemoryError } from '../../src/errors.ts';
import { typedMemoryError } from '../../src/out-of-memory.ts';

function thrownBy(task: () => unknown): unknown {
  try {
    task();
  } catch (error) {
    return error;
  }
  throw new Error('it threw nothing');
}

test.each([
  ['arrays', thrownBy(() => new ArrayBuffer(2 ** 50))],
  ['JavaScriptCore', new RangeError('Out of memory')],
  ['SpiderMonkey', Object.assign(new Error('allocation size overflow'), { name: 'InternalError' })],
  ['SpiderMonkey at the end', 'out of memory'],
])('of %s', (_of, error) => {
  const typed = typedMemoryError(error);
  expect(typed).toBeInstanceOf(OutOfMemoryError);
  expect(String(typed)).toMatch(/Use a smaller size or fewer pictures at once, give a budget/);
});

test.each([
  thrownBy(() => new Uint8Array(-1)),
  new TypeError('memory access out of bounds'),
  new DownloadError('out of memory', { remedy: 'Ask the server' }),
  'stopped',
])('not %s', (error) => {
  expect(typedMemoryError(error)).toBe(error);
});
