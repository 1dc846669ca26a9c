/** @file The queue of a pipeline gives turns in order, lets go of who does not want to wait, and closes once. */

import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../src/pipelines/call-queue.ts';

describe('the queue', () => {
  it('gives turns one after the other, in order', async () => {
    const queue = new CallQueue();
    const seen: string[] = [];
    const first = await queue.turn();
    const others = ['b', 'c'].map((name) => queue.run(() => void seen.push(name)));
    expect(queue.isWanted).toBe(true);
    seen.push('a');
    first();
    await Promise.all(others);
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(queue.isWanted).toBe(false);
  });

  it('goes on after work that failed', async () => {
    const queue = new CallQueue();
    await expect(queue.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(queue.run(() => 7)).resolves.toBe(7);
  });

  it('lets go of who is stopped while waiting, and still keeps the others apart', async () => {
    const queue = new CallQueue();
    const release = await queue.turn();
    const stop = new AbortController();
    const waiting = queue.turn(stop.signal);
    let hasTurn = false;
    const behind = queue.run(() => (hasTurn = true));
    stop.abort(new Error('enough'));
    // The turn before it is not over, and it is told all the same.
    await expect(waiting).rejects.toThrow('enough');
    expect(hasTurn).toBe(false);
    release();
    await expect(behind).resolves.toBe(true);
  });

  it('takes nobody in who is stopped already', async () => {
    const queue = new CallQueue();
    await expect(queue.turn(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    await expect(queue.run(() => 7)).resolves.toBe(7);
  });

  it('closes when all is done, once, and for good', async () => {
    const queue = new CallQueue();
    const seen: string[] = [];
    const release = await queue.turn();
    const waiting = queue.run(() => void seen.push('waited'));
    const closed = [queue.close(() => seen.push('closed')), queue.close(() => seen.push('closed again'))];
    await expect(queue.turn()).rejects.toThrow(/the pipeline was disposed of\. Load it again/);
    expect(seen).toEqual([]);
    release();
    await Promise.all([waiting, ...closed]);
    expect(seen).toEqual(['waited', 'closed']);
  });
});
