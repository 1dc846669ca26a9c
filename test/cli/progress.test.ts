/** @file What people see of a run where standard error is no terminal, and how times are written. */
import { describe, expect, it } from 'vitest';
import { duration, Progress } from '../../cli/src/progress.ts';

function recorder(): { lines: string[]; progress: Progress; wait: (milliseconds: number) => void } {
  const lines: string[] = [];
  let now = 0;
  const progress = new Progress({ write: (text) => lines.push(text) }, () => now);
  return { lines, progress, wait: (milliseconds) => (now += milliseconds) };
}

describe('Progress without a terminal', () => {
  it('writes a line for each step, with the time left by the steps so far', () => {
    const { lines, progress, wait } = recorder();
    progress.report({ phase: 'step', done: 0, total: 3 });
    wait(8000);
    progress.report({ phase: 'step', done: 1, total: 3 });
    wait(9000);
    progress.report({ phase: 'step', done: 2, total: 3 });
    wait(8500);
    progress.report({ phase: 'step', done: 3, total: 3 });
    expect(lines).toEqual([
      'step 0/3\n',
      'step 1/3, about 16 s left\n',
      'step 2/3, about 9.0 s left\n',
      'step 3/3\n',
    ]);
  });

  it('does not guess from a first step that was done before it was announced', () => {
    const { lines, progress, wait } = recorder();
    progress.report({ phase: 'step', done: 0, total: 3 });
    progress.report({ phase: 'step', done: 1, total: 3 });
    wait(4000);
    progress.report({ phase: 'step', done: 2, total: 3 });
    expect(lines).toEqual(['step 0/3\n', 'step 1/3\n', 'step 2/3, about 4.0 s left\n']);
  });

  it('sums up phases of many parts, and speaks when they take long', () => {
    const { lines, progress, wait } = recorder();
    for (let done = 1; done <= 10; done++) progress.report({ phase: 'loading unet', done, total: 10 });
    for (let done = 1; done <= 4; done++) {
      progress.report({ phase: 'downloading x', done: done * 1e6, total: 4e6, unit: 'bytes' });
      wait(4000);
    }
    expect(lines).toEqual([
      'loading unet 10/10\n',
      'downloading x 3.0/4.0 MB, about 4.0 s left\n',
      'downloading x 4.0/4.0 MB\n',
    ]);
  });

  it('takes a falling count for a new phase of the same name', () => {
    const { lines, progress, wait } = recorder();
    for (const total of [2, 4]) {
      for (let done = 1; done <= total; done++) progress.report({ phase: 'compiling unet', done, total });
      wait(1000);
    }
    expect(lines).toEqual(['compiling unet 2/2\n', 'compiling unet 4/4\n']);
  });

  it('names a phase that has no parts when it begins', () => {
    const { lines, progress } = recorder();
    progress.report({ phase: 'decoding', done: 0, total: 1 });
    progress.end();
    expect(lines).toEqual(['decoding\n']);
  });
});

it.each([
  [0.417, '0.42 s'],
  [8.14, '8.1 s'],
  [9.97, '10 s'],
  [59.4, '59 s'],
  [59.7, '1 min 00 s'],
  [125, '2 min 05 s'],
  [3780, '1 h 03 min'],
])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));
