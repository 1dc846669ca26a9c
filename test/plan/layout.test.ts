/** @file Property tests of the memory layout: no overlap, no shared buffers where WebGPU forbids it, no waste. */

import { describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/errors.ts';
import { layOut, type Block } from '../../src/plan/layout.ts';
import { seededRandom } from '../cases/case.ts';

function randomBlocks(seed: string, count: number): Block[] {
  const random = seededRandom(seed);
  const whole = (below: number): number => Math.floor(random() * below);
  const apart = Array.from({ length: count }, () => new Set<number>());
  for (let i = 0; i < count * 2; i++) {
    const [a, b] = [whole(count), whole(count)];
    if (a === b) continue;
    apart[a].add(b);
    apart[b].add(a);
  }
  return apart.map((others, i) => {
    const first = whole(60);
    return { name: `block ${i}`, bytes: 1 + whole(5000), first, last: first + whole(12), apart: others };
  });
}

const meet = (a: Block, b: Block): boolean => a.first <= b.last && b.first <= a.last;

describe.each(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])('layout of random blocks %s', (seed) => {
  const blocks = randomBlocks(seed, 40);
  const limits = { alignment: 256, maxBufferBytes: 1 << 20 };
  const { places, buffers } = layOut(blocks, limits);

  it('keeps blocks that are alive together from overlapping', () => {
    blocks.forEach((a, i) =>
      blocks.slice(0, i).forEach((b, j) => {
        const [p, q] = [places[i], places[j]];
        if (p.buffer !== q.buffer || !meet(a, b)) return;
        expect(
          p.offset + a.bytes <= q.offset || q.offset + b.bytes <= p.offset,
          `${a.name} and ${b.name}`,
        ).toBe(true);
      }),
    );
  });

  it('keeps blocks that must be apart in different buffers', () => {
    blocks.forEach((block, i) => {
      for (const other of block.apart) expect(places[i].buffer).not.toBe(places[other].buffer);
    });
  });

  it('aligns offsets and stays inside buffers', () => {
    blocks.forEach((block, i) => {
      expect(places[i].offset % limits.alignment).toBe(0);
      expect(places[i].offset + block.bytes).toBeLessThanOrEqual(buffers[places[i].buffer]);
    });
  });

  it('gives the same layout again', () => {
    expect(layOut(blocks, limits)).toEqual({ places, buffers });
  });
});

describe('layout limits', () => {
  const block = (name: string, bytes: number): Block => ({
    name,
    bytes,
    first: 0,
    last: 0,
    apart: new Set(),
  });

  it('opens another buffer where one would grow over the limit', () => {
    const { buffers } = layOut([block('a', 800), block('b', 800)], { alignment: 1, maxBufferBytes: 1000 });
    expect(buffers).toEqual([800, 800]);
  });

  it('names the block that no buffer can hold', () => {
    expect(() => layOut([block('too much', 2000)], { alignment: 1, maxBufferBytes: 1000 })).toThrow(
      OutOfMemoryError,
    );
    expect(() => layOut([block('too much', 2000)], { alignment: 1, maxBufferBytes: 1000 })).toThrow(
      /too much.*2000/,
    );
  });

  it('reuses memory of a chain of equal blocks', () => {
    const chain = Array.from({ length: 20 }, (_, i): Block => ({
      name: `${i}`,
      bytes: 100,
      first: i,
      last: i + 1,
      apart: new Set([i - 1, i + 1].filter((j) => j >= 0 && j < 20)),
    }));
    const { buffers } = layOut(chain, { alignment: 1, maxBufferBytes: 1e6 });
    expect(buffers.reduce((a, b) => a + b, 0)).toBe(200);
  });
});
