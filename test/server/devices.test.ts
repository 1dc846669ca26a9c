/** @file Several devices, each with a process of its own that may end, fail to start again or hang: who draws then. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  type DrawRequest,
  type DrawResult,
  MemoryQueue,
  type News,
  ProcessRunner,
} from '../../server/src/index.ts';
import { fixturePath } from '../support/fixtures.ts';
import { startServer } from './support.ts';

const SCRIPT = fixturePath('server/fake-runner.js');

let folder: string;
let runners: ProcessRunner[];
let queue: MemoryQueue;
let news: News[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-devices-'));
  runners = ['0', '1'].map(
    (device) =>
      new ProcessRunner({
        name: `device ${device}`,
        script: SCRIPT,
        args: [],
        env: { CUDA_VISIBLE_DEVICES: device, FAKE_OBSTACLES: folder },
        abortSeconds: 0.05,
      }),
  );
  queue = new MemoryQueue({ runners, capacity: 8, maxBatch: 1, attempts: 2 });
  news = [];
  queue.onNews((one) => void news.push(one));
  await Promise.all(runners.map(({ ready }) => ready));
});
afterEach(async () => {
  await queue.close();
  await rm(folder, { recursive: true });
});

/** Devices of jobs are told in their notices. */
async function draw(prompt: string, signal = new AbortController().signal): Promise<DrawResult> {
  const request: DrawRequest = { model: 'a', prompt, promptSyntax: 'plain', seeds: [1], previews: 0 };
  return queue.submit('', request, { signal });
}

it('begins a job on another device when its own ends, which is started anew', async () => {
  const [{ pid }] = runners;
  expect((await draw('die on 0')).notices).toEqual(['device 1']);
  await expect.poll(() => runners[0].isUp, { timeout: 20_000 }).toBe(true);
  expect(runners[0].pid).not.toBe(pid);
  expect((await draw('a fox')).notices).toEqual(['device 0']);
  expect(queue.parts()).toEqual([
    { name: 'device 0', isUp: true, failures: 1 },
    { name: 'device 1', isUp: true, failures: 0 },
  ]);
  const ended = news.find(({ level }) => level === 'error');
  expect(ended).toMatchObject({ part: 'device 0', message: 'runner ended' });
  expect(ended?.reason).toContain('SIGKILL');
});

it('draws on the others while a device is gone, says why, and uses it again when it is back', async () => {
  await writeFile(join(folder, '0'), '');
  expect((await draw('die on 0')).notices).toEqual(['device 1']);
  await expect.poll(() => news.at(-1)?.reason, { timeout: 20_000 }).toMatch(/the card is gone/);
  for (let i = 0; i < 3; i++) expect((await draw('a fox')).notices).toEqual(['device 1']);
  await expect(queue.ready()).resolves.toBe(true);
  expect(queue.parts()[0]).toMatchObject({ isUp: false });
  await rm(join(folder, '0'));
  await expect.poll(() => runners[0].isUp, { timeout: 20_000 }).toBe(true);
  expect((await draw('a fox')).notices).toEqual(['device 0']);
});

it('kills a process that does not let go of a job', async () => {
  const client = new AbortController();
  const hung = draw('hang', client.signal);
  client.abort(new Error('it took too long'));
  await expect(hung).rejects.toThrow('it took too long');
  await expect.poll(() => runners[0].isUp, { timeout: 20_000 }).toBe(true);
  expect(queue.parts()[0].failures).toBe(1);
});

it('counts what all devices draw', async () => {
  const server = await startServer({ queue });
  const drawn = await Promise.all(
    Array.from({ length: 4 }, async () =>
      fetch(`${server.url}/v1/images/generations`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'a fox', n: 2 }),
      }),
    ),
  );
  expect(drawn.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('calotype_pictures_total{model="tiny-sd"} 8');
  expect(metrics).toContain('calotype_runner_busy_seconds_total{model="tiny-sd"} 1');
  expect(metrics).toContain('calotype_part_up{part="device 1"} 1');
  expect(metrics).toContain('calotype_part_failures_total{part="device 0"} 0');
  await server.close();
});

it('refuses jobs when no process can begin', async () => {
  await writeFile(join(folder, '2'), '');
  const env = { CUDA_VISIBLE_DEVICES: '2', FAKE_OBSTACLES: folder };
  const lost = new ProcessRunner({ name: 'device 2', script: SCRIPT, args: [], env });
  const none = new MemoryQueue({ runners: [lost], capacity: 8, maxBatch: 1, attempts: 2 });
  const { signal } = new AbortController();
  const request = { model: 'a', prompt: '', promptSyntax: 'plain', seeds: [1], previews: 0 } as const;
  await expect(none.submit('', request, { signal })).rejects.toThrow(/the card is gone/);
  await expect(none.ready()).resolves.toBe(false);
  await expect(none.submit('', request, { signal })).rejects.toThrow(/the card is gone/);
  await none.close();
});
