/** @file Waiting that ends at once when somebody has changed their mind. */

import { describe, expect, it } from 'vitest';
import { unlessAborted } from '../src/unless-aborted.ts';

const never = new Promise<number>(() => undefined);

describe('unlessAborted', () => {
  it('gives what was waited for, or throws it', async () => {
    const { signal } = new AbortController();
    await expect(unlessAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(unlessAborted(Promise.resolve(7), undefined)).resolves.toBe(7);
    await expect(unlessAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
  });

  it('throws the reason, before or in the middle, and listens no more', async () => {
    await expect(unlessAborted(never, AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    const controller = new AbortController();
    const waiting = unlessAborted(never, controller.signal);
    controller.abort(new Error('in the middle'));
    await expect(waiting).rejects.toThrow('in the middle');
  });

  it('leaves nothing unhandled where what was waited for fails later', async () => {
    let fail: (error: Error) => void = () => undefined;
    const failing = new Promise<never>((_, reject) => (fail = reject));
    await expect(unlessAborted(failing, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    // Vitest fails a run with an unhandled rejection.
    fail(new Error('too late'));
    await expect(failing).rejects.toThrow('too late');
  });
});
