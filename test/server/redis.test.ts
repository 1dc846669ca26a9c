/** @file The queue on Redis: two workers, one of them killed; a server that is killed; storage. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { type AddressInfo, createServer as createSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { RunnerDiedError } from '../../server/src/errors.ts';
import {
  createWorkerApp,
  type DrawRequest,
  type DrawResult,
  FolderStore,
  type News,
  RedisQueue,
  RedisWorker,
  type Runner,
} from '../../server/src/index.ts';
import type { RunnerJob } from '../../server/src/runner/runner.ts';
import { forgetRequest, loadRequest, storeRequest } from '../../server/src/queue/redis-job.ts';
import { fixturePath } from '../support/fixtures.ts';
import { startCommand } from './command.ts';
import { localRunner, startServer } from './support.ts';

const COMMAND = fileURLToPath(new URL('../../cli/bin/calotype.js', import.meta.url));

function hasRedis(): boolean {
  try {
    execFileSync('redis-server', ['--version']);
    return true;
  } catch {
    return false;
  }
}

const imagesSchema = v.object({ data: v.array(v.object({ b64_json: v.string() })) });

/** Draws with steps enough to be interrupted; the same seed every time. */
async function draw(url: string, headers: Record<string, string> = {}, steps = 50): Promise<string> {
  const response = await fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ prompt: 'a fox', size: '64x64', steps, seed: 7 }),
  });
  const body: unknown = await response.json();
  expect(response.status, JSON.stringify(body).slice(0, 500)).toBe(200);
  return v.parse(imagesSchema, body).data[0].b64_json;
}

describe.skipIf(!hasRedis())('on redis-server', () => {
  let folder: string;
  let redis: ChildProcess;
  let url: string;
  const workers: ChildProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'calotype-redis-'));
    const port = await freePort();
    redis = spawn('redis-server', ['--port', String(port), '--save', '', '--dir', folder], {
      stdio: 'ignore',
    });
    url = `redis://127.0.0.1:${port}`;
  });
  afterAll(async () => {
    for (const worker of workers) worker.kill('SIGKILL');
    redis.kill();
    await rm(folder, { recursive: true });
  });

  const newQueue = () => new RedisQueue({ url, store: new FolderStore(folder), capacity: 8, attempts: 2 });

  async function startWorker(): Promise<ChildProcess> {
    const options = ['--queue', url, '--storage', folder, '--log-level', 'silent'];
    const jobs = ['--lock', '2', '--batch', '1'];
    const model = ['--model', `tiny-sd=${fixturePath('pipelines/tiny-sd')}`];
    const compute = ['--backend', 'cpu', '--threads', '1'];
    const child = spawn(process.execPath, [COMMAND, 'worker', ...options, ...jobs, ...model, ...compute], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    workers.push(child);
    let text = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('Drawing')) resolve();
      });
      child.once('exit', () => reject(new Error(text)));
    });
    return child;
  }

  it('loses no job and does none twice when one of two workers is killed', async () => {
    const [first] = await Promise.all([startWorker(), startWorker()]);
    const server = await startServer({ queue: newQueue() });
    try {
      await expect.poll(async () => (await fetch(`${server.url}/ready`)).status).toBe(200);
      const drawing = Array.from({ length: 3 }, () => draw(server.url));
      await expect
        .poll(async () => (await fetch(`${server.url}/metrics`)).text())
        .toContain('{state="active"} 2');
      first.kill('SIGKILL');
      const pictures = new Set(await Promise.all(drawing));
      // The same seed: the one that was begun twice, too, is the same to the last bit.
      expect(pictures.size).toBe(1);
      const client = new Redis(url);
      expect(await client.zcard('calotype:draw:completed')).toBe(3);
      expect(await client.zcard('calotype:draw:failed')).toBe(0);
      await client.quit();
    } finally {
      await server.close();
    }
    workers[1].kill('SIGTERM');
    await new Promise((resolve) => void workers[1].once('exit', resolve));
  });

  it('begins a job as often as it may, and tells why it was given up', async () => {
    let begun = 0;
    const runner: Runner = {
      ...localRunner(),
      draw: async () => {
        begun++;
        throw new RunnerDiedError('it ended', { remedy: 'none' });
      },
    };
    const store = new FolderStore(folder);
    const worker = new RedisWorker({ url, store, runners: [runner], maxBatch: 1, attempts: 3 });
    const queue = new RedisQueue({ url, store, capacity: 8, attempts: 9 });
    const request = { model: 'a', prompt: '', promptSyntax: 'plain', seeds: [1], previews: 0 } as const;
    await worker.start();
    const { signal } = new AbortController();
    await expect(queue.submit('three-times', request, { signal })).rejects.toThrow(RunnerDiedError);
    expect(begun).toBe(3);
    await queue.close();
    await worker.close();
  });

  it('gives whoever asks again the same job, though its server was killed', async () => {
    const key = { 'idempotency-key': 'one picture' };
    const model = ['--model', `tiny-sd=${fixturePath('pipelines/tiny-sd')}`];
    const killed = await startCommand('--queue', url, '--storage', folder, ...model);
    // No worker yet: it waits in Redis when its server dies.
    const lost = draw(killed.url, key, 3).catch(() => undefined);
    await expect
      .poll(async () => (await fetch(`${killed.url}/metrics`)).text(), { timeout: 60_000 })
      .toContain('{state="waiting"} 1');
    killed.process.kill('SIGKILL');
    await lost;
    const worker = new RedisWorker({
      url,
      store: new FolderStore(folder),
      runners: [localRunner()],
      maxBatch: 2,
      attempts: 2,
    });
    await worker.start();
    const other = await startServer({ queue: newQueue() });
    // Its own number of steps would give another picture.
    const picture = await draw(other.url, key, 5);
    expect(await draw(other.url, {}, 3)).toBe(picture);
    expect(await draw(other.url, {}, 5)).not.toBe(picture);
    const refused = await fetch(`${other.url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a fox', size: '60x64', steps: 1 }),
    });
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('multiple of 8')]);
    await other.close();
    await worker.close();
  });
});

it('stores all pictures of a request, and removes them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-request-'));
  const store = new FolderStore(folder);
  const [image, png, net, prompt] = [1, 2, 3, 4].map((byte) => Buffer.of(byte));
  const request: DrawRequest = {
    model: 'a',
    prompt: 'a fox',
    promptSyntax: 'plain',
    seeds: [{ seed: 1, device: 'cuda' }],
    previews: 0,
    image,
    mask: { png, paint: 'white' },
    controls: [{ name: 'canny', image: net, scale: 0.5, start: 0, end: 0.5 }],
    guessMode: true,
    imagePrompts: [{ name: 'plus', image: prompt, scale: 1 }],
  };
  const stored: unknown = JSON.parse(JSON.stringify(await storeRequest('job', request, store)));
  expect(await loadRequest(stored, store)).toEqual(request);
  await forgetRequest(stored, store);
  expect(await readdir(join(folder, 'job'))).toEqual([]);
  await rm(folder, { recursive: true });
});

it('stores pictures in a folder, and sweeps old ones', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-store-'));
  const store = new FolderStore(folder);
  await store.put('job/0.png', Uint8Array.of(1, 2));
  expect([...(await store.get('job/0.png'))]).toEqual([1, 2]);
  await expect(store.get('../0.png')).rejects.toThrow(/no name of a picture/);
  await store.sweep(60);
  expect([...(await store.get('job/0.png'))]).toEqual([1, 2]);
  await store.sweep(-60);
  await expect(store.get('job/0.png')).rejects.toThrow(/not in the storage/);
  await rm(folder, { recursive: true });
});

describe.skipIf(!hasRedis())('when Redis comes and goes', () => {
  let folder: string;
  let port: number;
  let redis: ChildProcess;
  let held: HeldRunner;
  let worker: RedisWorker;
  let workerApp: Awaited<ReturnType<typeof createWorkerApp>>;
  let queue: RedisQueue;
  let server: Awaited<ReturnType<typeof startServer>>;
  const { signal } = new AbortController();
  const submit = async (prompt: string): Promise<DrawResult> =>
    queue.submit(prompt, { model: 'a', prompt, promptSyntax: 'plain', seeds: [1], previews: 0 }, { signal });
  const start = (): ChildProcess =>
    spawn('redis-server', ['--port', String(port), '--dir', folder, '--save', '', '--appendonly', 'yes'], {
      stdio: 'ignore',
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'calotype-redis-'));
    port = await freePort();
    redis = start();
    const url = `redis://127.0.0.1:${port}`;
    const store = new FolderStore(folder);
    held = new HeldRunner();
    worker = new RedisWorker({ url, store, runners: [held], maxBatch: 1, attempts: 2 });
    workerApp = await createWorkerApp(worker, false);
    queue = new RedisQueue({ url, store, capacity: 8, attempts: 2, patience: 0.5 });
    server = await startServer({ queue });
    await worker.start();
  });
  afterAll(async () => {
    await server.close();
    await worker.close();
    await workerApp.close();
    redis.kill();
    await rm(folder, { recursive: true });
  });

  it('begins the next job when the last is at its last steps, and not before', async () => {
    const jobs = ['one', 'two', 'three'].map(submit);
    await expect.poll(async () => (await queue.counts()).waiting).toBe(2);
    await expect.poll(() => held.begun.length).toBe(1);
    const [first] = held.begun;
    first.step(1);
    await expect(queue.counts()).resolves.toEqual({ waiting: 2, active: 1 });
    first.step(3);
    await expect.poll(() => held.begun.length).toBe(2);
    // One more is taken for each that ends, not two.
    await expect(queue.counts()).resolves.toEqual({ waiting: 1, active: 2 });
    first.end();
    held.begun[1].step(4);
    await expect.poll(() => held.begun.length).toBe(3);
    held.begun[1].end();
    held.begun[2].end();
    expect((await Promise.all(jobs)).map(({ notices }) => notices[0]).sort()).toEqual([
      'one',
      'three',
      'two',
    ]);
  });

  it('refuses new jobs while it is away, and goes on with those it had', async () => {
    const news: News[] = [];
    queue.onNews((one) => void news.push(one));
    const status = async () => (await fetch(`${server.url}/ready`)).status;
    await expect.poll(status).toBe(200);
    held.begun.length = 0;
    const job = submit('through it');
    await expect.poll(() => held.begun.length).toBe(1);
    await killed(redis);
    await expect.poll(status).toBe(503);
    const workerStatus = async () => (await workerApp.inject('/ready')).statusCode;
    await expect.poll(workerStatus).toBe(503);
    const refused = await fetch(`${server.url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a fox' }),
    });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await refused.text()).toContain('queue-unreachable');
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('calotype_part_up{part="redis"} 0');
    expect(metrics).not.toContain('calotype_jobs{');
    held.begun[0].end();
    redis = start();
    await expect(job).resolves.toMatchObject({ notices: ['through it'] });
    await expect.poll(status).toBe(200);
    await expect.poll(workerStatus).toBe(200);
    expect(news[0]).toMatchObject({ part: 'redis', level: 'error', message: 'Redis is away' });
    expect(news.findLast(({ level }) => level === 'info')?.message).toMatch(/there again, after \d+ s/);
  });

  it('brings jobs again that a Redis forgot', async () => {
    held.begun.length = 0;
    const job = submit('forgotten');
    await expect.poll(() => held.begun.length).toBe(1);
    const client = new Redis(port);
    await client.flushall();
    held.begun[0].end();
    // Its own connection is kept.
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(() => held.begun.length).toBe(2);
    held.begun[1].end();
    await expect(job).resolves.toMatchObject({ notices: ['forgotten'] });
    await client.quit();
  });
});

/** Draws when it is told. */
class HeldRunner implements Runner {
  readonly name = 'held';
  readonly ready = Promise.resolve();
  /** In their order. */
  readonly begun: { step(done: number): void; end(): void }[] = [];

  async draw({ request: { prompt }, onStep }: RunnerJob): Promise<DrawResult> {
    return new Promise((resolve) => {
      this.begun.push({
        step: (done) => onStep({ done, total: 5, previews: [] }),
        end: () => resolve({ pictures: [], notices: [prompt], seconds: 1, phases: {}, busySeconds: 0 }),
      });
    });
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function freePort(): Promise<number> {
  const socket = createSocket().listen(0);
  const { port } = socket.address() as AddressInfo;
  await new Promise((resolve) => void socket.close(resolve));
  return port;
}
