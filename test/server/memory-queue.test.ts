/** @file The queue in memory, with runners that do what they are told: who is begun when, and how often. */
import { expect, it } from 'vitest';
import { type DrawRequest, type DrawResult, MemoryQueue, type Runner } from '../../server/src/index.ts';
import { RunnerDiedError } from '../../server/src/errors.ts';

const RESULT: DrawResult = { pictures: [], notices: [], seconds: 1, phases: {}, busySeconds: 0 };
/** Steps of every job. */
const TOTAL = 5;
const { signal } = new AbortController();

function request(prompt: string, options: Partial<DrawRequest> = {}): DrawRequest {
  return { model: 'a', prompt, promptSyntax: 'plain', seeds: [1], previews: 0, ...options };
}

/** A job that was begun; it goes on when it is told. */
interface Begun {
  readonly prompt: string;
  /** So many steps are done, by default its last; the picture is not there yet. */
  step(done?: number): void;
  end(): void;
  die(): void;
}

function runnerOf(begun: Begun[]): Runner {
  return {
    name: 'told',
    ready: Promise.resolve(),
    close: async () => Promise.resolve(),
    draw: async ({ request: { prompt }, onStep }) =>
      new Promise<DrawResult>((resolve, reject) =>
        begun.push({
          prompt,
          step: (done = TOTAL) => onStep({ done, total: TOTAL, previews: [] }),
          end: () => resolve(RESULT),
          die: () => reject(new RunnerDiedError('it ended', { remedy: 'none' })),
        }),
      ),
  };
}

/** A queue with a runner, and the jobs that this has begun. */
function open(maxBatch: number, attempts = 1) {
  const begun: Begun[] = [];
  const queue = new MemoryQueue({ runners: [runnerOf(begun)], capacity: 8, maxBatch, attempts });
  const submit = async (prompt: string, options: Partial<DrawRequest> = {}) =>
    queue.submit('', request(prompt, options), { signal });
  return { queue, begun, submit, names: () => begun.map(({ prompt }) => prompt) };
}

it('begins the next job when the steps of the last are done, while its picture is made', async () => {
  const { queue, begun, submit, names } = open(1);
  const jobs = [submit('one'), submit('two'), submit('three'), submit('other', { model: 'b' })];
  expect(names()).toEqual(['one']);
  begun[0].step();
  expect(names()).toEqual(['one', 'two']);
  await expect(queue.counts()).resolves.toEqual({ waiting: 2, active: 2 });
  begun[1].step();
  // As many pictures as are drawn at a time may still be made: here one more makes two.
  expect(names()).toEqual(['one', 'two']);
  begun[0].end();
  await jobs[0];
  await expect.poll(names).toEqual(['one', 'two', 'three']);
  begun[1].end();
  begun[2].step();
  await jobs[1];
  // The model of those that are made is still in use; another is loaded when they are done.
  expect(names()).not.toContain('other');
  begun[2].end();
  await expect.poll(names).toContain('other');
  begun[3].end();
  await Promise.all(jobs);
  await queue.close();
});

it('sends the next job a little before the last has made its steps', async () => {
  const { queue, begun, submit, names } = open(1);
  const jobs = [submit('one'), submit('two')];
  begun[0].step(1);
  begun[0].step(2);
  expect(names()).toEqual(['one']);
  begun[0].step(3);
  expect(names()).toEqual(['one', 'two']);
  begun[0].step(4);
  begun[0].step();
  expect(names()).toEqual(['one', 'two']);
  for (const { end } of begun) end();
  await Promise.all(jobs);
  await queue.close();
});

it('lets jobs join as others reach their last step', async () => {
  const { begun, submit, names, queue } = open(2);
  const jobs = ['one', 'two', 'three', 'four'].map((prompt) => submit(prompt));
  expect(names()).toEqual(['one', 'two']);
  begun[1].step();
  expect(names()).toEqual(['one', 'two', 'three']);
  begun[0].step();
  expect(names()).toEqual(['one', 'two', 'three', 'four']);
  for (const { end } of begun) end();
  await Promise.all(jobs);
  await queue.close();
});

it.each([1, 3])('begins a job %i times at most when runners die of it', async (attempts) => {
  const { begun, submit, queue } = open(1, attempts);
  const job = submit('one');
  job.catch(() => undefined);
  for (let attempt = 0; attempt < attempts; attempt++) {
    await expect.poll(() => begun.length).toBe(attempt + 1);
    begun[attempt].die();
  }
  await expect(job).rejects.toThrow(RunnerDiedError);
  expect(begun).toHaveLength(attempts);
  await queue.close();
});
