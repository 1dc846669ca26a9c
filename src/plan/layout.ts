/**
 * @file Memory layout: gives each value with a lifetime a range of an arena buffer. Pure, property-tested.
 *
 * Ranges of values that are alive together never overlap. On WebGPU a dispatch may not read one range of a
 * buffer and write another, so the arena is several buffers and values that meet as input and output of one
 * dispatch (`apart`) go to different ones. Placing is greedy by size with first fit, the method of Pisarchyk and
 * Lee 2020 ("Efficient Memory Management for Deep Neural Net Inference"), tried from several orders.
 */

import { OutOfMemoryError } from '../errors.ts';

/** A value to be placed. */
export interface Block {
  readonly name: string;
  readonly bytes: number;
  /** First and last dispatch during which it must keep its bytes, inclusive. */
  readonly first: number;
  readonly last: number;
  /** Indices of blocks that may not share a buffer with it. */
  readonly apart: ReadonlySet<number>;
}

/** Limits of the arena's buffers. */
export interface LayoutLimits {
  /** Offsets are multiples of this, in bytes. */
  readonly alignment: number;
  readonly maxBufferBytes: number;
}

/** Where each block went, and the size of each buffer. */
export interface Layout {
  readonly places: readonly { readonly buffer: number; readonly offset: number }[];
  readonly buffers: readonly number[];
}

const ORDERS = 24;

/**
 * Lays blocks out.
 * @throws OutOfMemoryError naming a block that is larger than a buffer may be.
 */
export function layOut(blocks: readonly Block[], limits: LayoutLimits): Layout {
  for (const { name, bytes } of blocks)
    if (bytes > limits.maxBufferBytes)
      throw new OutOfMemoryError(`needs ${bytes} bytes in one buffer, the device allows ${limits.maxBufferBytes}`, {
        field: name,
        remedy: 'Use a smaller size or batch, or a device with larger buffers',
      });
  const indices = blocks.map((_, index) => index);
  const span = (block: Block): number => block.last - block.first + 1;
  const keys: ((block: Block) => number)[] = [
    (block) => block.bytes,
    (block) => block.bytes * span(block),
    (block) => span(block),
  ];
  let best: Layout | undefined;
  let bestTotal = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < ORDERS; attempt++) {
    const key = keys[attempt % keys.length] ?? span;
    const noise = noiseOf(attempt);
    // The first of each kind is exact, the others are perturbed by up to a quarter.
    const weight = indices.map((i) => key(blocks[i]!) * (attempt < keys.length ? 1 : 0.75 + noise() / 2));
    const order = indices.toSorted((a, b) => weight[b]! - weight[a]! || a - b);
    const layout = place(blocks, order, limits);
    const total = layout.buffers.reduce((sum, bytes) => sum + bytes, 0);
    if (total < bestTotal) [best, bestTotal] = [layout, total];
  }
  return best ?? { places: [], buffers: [] };
}

/** Small deterministic uniform numbers (a linear congruential generator), so that layouts are reproducible. */
function noiseOf(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Placed {
  readonly offset: number;
  readonly end: number;
  readonly first: number;
  readonly last: number;
}

function place(blocks: readonly Block[], order: readonly number[], limits: LayoutLimits): Layout {
  const align = (bytes: number): number => Math.ceil(bytes / limits.alignment) * limits.alignment;
  const buffers: { size: number; placed: Placed[]; members: Set<number> }[] = [];
  const places: { buffer: number; offset: number }[] = blocks.map(() => ({ buffer: -1, offset: 0 }));
  for (const index of order) {
    const block = blocks[index]!;
    const size = align(Math.max(block.bytes, 1));
    let choice = { buffer: buffers.length, offset: 0, growth: size };
    buffers.forEach((buffer, number) => {
      for (const other of block.apart) if (buffer.members.has(other)) return;
      const offset = firstGap(buffer.placed, block, size);
      const growth = Math.max(0, offset + size - buffer.size);
      if (offset + size <= limits.maxBufferBytes && growth < choice.growth) choice = { buffer: number, offset, growth };
    });
    const buffer = (buffers[choice.buffer] ??= { size: 0, placed: [], members: new Set() });
    buffer.size = Math.max(buffer.size, choice.offset + size);
    buffer.members.add(index);
    insert(buffer.placed, { offset: choice.offset, end: choice.offset + size, first: block.first, last: block.last });
    places[index] = { buffer: choice.buffer, offset: choice.offset };
  }
  return { places, buffers: buffers.map((buffer) => buffer.size) };
}

/** Lowest offset where `size` bytes are free during the block's life; `placed` is sorted by offset. */
function firstGap(placed: readonly Placed[], block: Block, size: number): number {
  let offset = 0;
  for (const other of placed) {
    if (other.last < block.first || other.first > block.last) continue;
    if (other.offset >= offset + size) break;
    offset = Math.max(offset, other.end);
  }
  return offset;
}

function insert(placed: Placed[], item: Placed): void {
  let at = placed.length;
  while (at > 0 && placed[at - 1]!.offset > item.offset) at--;
  placed.splice(at, 0, item);
}
