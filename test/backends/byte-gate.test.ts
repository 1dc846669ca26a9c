/** @file Work holds no more bytes at a time than a gate allows, begins in order, and leaves room when it fails. */

import { expect, it } from 'vitest';
import { ByteGate } from '../../src/backends/webgpu/byte-gate.ts';

/** Work that ends when it is told to. */
function held(gate: ByteGate, log: string[], name: string, bytes: number) {
  let settle: (error?: Error) => void = () => undefined;
  const work = (): Promise<string> =>
    new Promise((resolve, reject) => {
      log.push(name);
      settle = (error) => (error ? reject(error) : resolve(name));
    });
  const done = gate.hold(bytes, work);
  return { done, end: (error?: Error) => settle(error) };
}

const ticks = () => new Promise((resolve) => setTimeout(resolve, 0));

it('lets in what fits, in order, and a giant alone', async () => {
  const gate = new ByteGate(10);
  const log: string[] = [];
  const [a, b, giant, c] = [
    held(gate, log, 'a', 4),
    held(gate, log, 'b', 6),
    held(gate, log, 'giant', 100),
    held(gate, log, 'c', 1),
  ];
  await ticks();
  expect(log).toEqual(['a', 'b']);
  a.end();
  await ticks();
  expect(log).toEqual(['a', 'b']);
  b.end(new Error('lost'));
  await expect(b.done).rejects.toThrow('lost');
  await ticks();
  expect(log).toEqual(['a', 'b', 'giant']);
  giant.end();
  await ticks();
  c.end();
  expect(await Promise.all([a.done, giant.done, c.done])).toEqual(['a', 'giant', 'c']);
});
