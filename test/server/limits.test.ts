/** @file What a server refuses, whom it answers, and what it does when there is too much to do. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { afterEach, expect, it } from 'vitest';
import * as v from 'valibot';
import { decodePng } from '../../src/index.ts';
import { KeyRing, parseKeys, readAddedSources, readSources, type Runner } from '../../server/src/index.ts';
import { localRunner, startServer, type TestServer } from './support.ts';

let close: (() => Promise<void>) | undefined;
afterEach(() => close?.());

async function start(options: TestServer = {}): Promise<string> {
  const server = await startServer(options);
  close = () => server.close();
  return server.url;
}

const ask = (url: string, body: object, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ prompt: 'a fox', size: '64x64', steps: 2, seed: 7, ...body }),
    ...(signal && { signal }),
  });
const codeOf = async (response: Response): Promise<unknown> =>
  v.parse(v.object({ error: v.object({ code: v.string() }) }), await response.json()).error.code;

/** A runner that draws when it is told, and says the prompts that it was given. */
function heldRunner() {
  const inner = localRunner();
  const begun: string[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const runner: Runner = {
    ...inner,
    draw: async (job) => {
      begun.push(job.request.prompt);
      await held;
      return inner.draw(job);
    },
  };
  return { runner, begun, release };
}

it('answers those with a key alone, each with a share', async () => {
  const keys = new KeyRing(parseKeys('# who\nalice 0123456789abcdef\n\nbob fedcba9876543210', 'keys'));
  const { runner, release } = heldRunner();
  const url = await start({ keys, runners: [runner], limits: { concurrent: 1, perMinute: 4 } });
  const as = (key: string) => ({ authorization: `Bearer ${key}` });
  expect((await ask(url, {})).status).toBe(401);
  expect(await codeOf(await ask(url, {}, as('0123456789abcdee')))).toBe('unauthorized');
  const basic = Buffer.from('alice:0123456789abcdef').toString('base64');
  expect(
    (await fetch(`${url}/sdapi/v1/samplers`, { headers: { authorization: `Basic ${basic}` } })).status,
  ).toBe(200);
  const first = ask(url, {}, as('0123456789abcdef'));
  await expect.poll(async () => (await fetch(`${url}/metrics`)).text()).toContain('{state="active"} 1');
  const second = await ask(url, {}, as('0123456789abcdef'));
  expect([second.status, second.headers.get('retry-after')]).toEqual([429, '1']);
  const other = ask(url, {}, as('fedcba9876543210'));
  release();
  expect([(await first).status, (await other).status]).toEqual([200, 200]);
  expect((await ask(url, {}, as('0123456789abcdef'))).status).toBe(200);
  expect(await codeOf(await ask(url, {}, as('0123456789abcdef')))).toBe('rate-limit');
  expect(() => parseKeys('alice short', 'keys')).toThrow(/line 1/);
});

it('bounds its queue, lets jobs join, and gives each the picture that it would have alone', async () => {
  const { runner, begun, release } = heldRunner();
  const url = await start({ runners: [runner], capacity: 3, maxBatch: 2 });
  const metrics = async () => (await fetch(`${url}/metrics`)).text();
  const first = ask(url, { prompt: 'a cat', seed: 9 });
  await expect.poll(metrics).toContain('{state="active"} 1');
  // It cannot join, and is overtaken by one that can.
  const others = [ask(url, { prompt: 'a small cat', size: '32x32' })];
  await expect.poll(metrics).toContain('{state="waiting"} 1');
  const joined = ask(url, { prompt: 'a dog', seed: 1, steps: 3 });
  await expect.poll(metrics).toContain('{state="active"} 2');
  others.push(ask(url, { prompt: 'a fox', seed: 2 }), ask(url, { prompt: 'a cat', seed: 9 }));
  await expect.poll(metrics).toContain('{state="waiting"} 3');
  const full = await ask(url, {});
  expect([full.status, await codeOf(full)]).toEqual([429, 'queue-full']);
  expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
  release();
  const pictures = await Promise.all(
    [first, joined, ...others].map(async (response) => {
      const { data } = v.parse(
        v.object({ data: v.array(v.object({ b64_json: v.string() })) }),
        await (await response).json(),
      );
      return decodePng(Buffer.from(data[0].b64_json, 'base64')).image.data;
    }),
  );
  expect(begun.slice(0, 2)).toEqual(['a cat', 'a dog']);
  expect(begun).toHaveLength(5);
  const [cat, dog, , , again] = pictures;
  const worst = cat.reduce((most, value, i) => Math.max(most, Math.abs(value - again[i])), 0);
  expect(worst).toBeLessThanOrEqual(1);
  expect(dog).not.toEqual(cat);
});

it('drops jobs whose client went away, and those that take too long', async () => {
  const url = await start({ limits: { jobSeconds: 1 } });
  const client = new AbortController();
  const left = ask(url, { steps: 150 }, {}, client.signal);
  await expect.poll(async () => (await fetch(`${url}/metrics`)).text()).toContain('{state="active"} 1');
  client.abort();
  await expect(left).rejects.toThrow(/aborted/);
  const metrics = async () => (await fetch(`${url}/metrics`)).text();
  await expect.poll(metrics).toMatch(/failures_total\{model="tiny-sd",reason="cancelled"\} 1/);
  await expect.poll(metrics).toContain('{state="active"} 0');
  const late = await ask(url, { steps: 150, size: '256x256' });
  expect([late.status, await codeOf(late)]).toEqual([504, 'job-timeout']);
});

/** A connection whose client writes as it likes. */
async function connect(url: string): Promise<Socket> {
  const socket = createConnection(Number(new URL(url).port), '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

/** All that is answered until the connection is closed, however that is. */
async function answerTo(socket: Socket, text: string): Promise<string> {
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.on('error', () => undefined);
  socket.write(text);
  await new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  return answer;
}

const post = (body: string, length = body.length): string =>
  `POST /v1/images/generations HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;

it('answers what is no request, and connections over the limit not at all', async () => {
  const url = await start({ limits: { connections: 4 } });
  const idle = await Promise.all([1, 2, 3, 4].map(async () => connect(url)));
  expect(await answerTo(await connect(url), post('{}'))).toBe('');
  for (const socket of idle) socket.destroy();
  const health = 'GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
  await expect.poll(async () => answerTo(await connect(url), health)).toContain('ok');
  const flood = `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`;
  expect(await answerTo(await connect(url), flood)).toMatch(/^HTTP\/1.1 431 .*"code":"request"/s);
  expect(await answerTo(await connect(url), 'what?\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*"code":"request"/s);
});

it('begins nothing for a client that goes away in the middle of its request', async () => {
  const { runner, begun, release } = heldRunner();
  const url = await start({ runners: [runner] });
  const left = await connect(url);
  left.write(post('{"prompt": "a fox", ', 100), () => left.destroy());
  await once(left, 'close');
  release();
  expect((await ask(url, { prompt: 'a cat' })).status).toBe(200);
  expect(begun).toEqual(['a cat']);
});

it.each([
  ['until its client is gone', 3600],
  ['no longer than its client may take to read', 1],
])('counts a request as in work %s', async (_, stallSeconds) => {
  const file = new Uint8Array(16 << 20);
  const picture = { file, format: 'png', width: 8, height: 8, seed: 1, parameters: '' } as const;
  const drawn = { pictures: [picture], notices: [], seconds: 1, phases: {}, busySeconds: 0 };
  const runner = { ...localRunner(), draw: async () => Promise.resolve(drawn) };
  const url = await start({ runners: [runner], limits: { concurrent: 1, stallSeconds } });
  const slow = await connect(url);
  slow.pause();
  slow.write(post('{"prompt": "a fox"}'));
  await expect
    .poll(async () => (await fetch(`${url}/metrics`)).text())
    .toContain('calotype_pictures_total{model="tiny-sd"} 1');
  const status = async (): Promise<number> => {
    const response = await ask(url, {});
    await response.arrayBuffer();
    return response.status;
  };
  if (stallSeconds > 1) {
    expect(await status()).toBe(429);
    slow.destroy();
  }
  await expect.poll(status).toBe(200);
  slow.destroy();
});

it('refuses malformed requests with typed errors', async () => {
  const url = await start({ limits: { bodyBytes: 2000 } });
  const send = (body: string, type = 'application/json') =>
    fetch(`${url}/v1/images/generations`, { method: 'POST', headers: { 'content-type': type }, body });
  const statuses = async (...answers: Promise<Response>[]) =>
    Promise.all(
      answers.map(async (answer) => `${(await answer).status} ${String(await codeOf(await answer))}`),
    );
  expect(
    await statuses(
      send('{'),
      send('[]'),
      send('{"prompt": 1}'),
      send('{"prompt": "a", "__proto__": {"n": 2}}'),
      send('{"prompt": "a", "n": 1e9}'),
      send('{"prompt": "a", "size": "0x64"}'),
      send('a', 'text/plain'),
      send(JSON.stringify({ prompt: 'a'.repeat(3000) })),
      fetch(`${url}/v1/none`),
    ),
  ).toEqual([
    ...Array.from({ length: 6 }, () => '400 request'),
    '415 request',
    '413 request',
    '404 not-found',
  ]);
});

it('says nothing of prompts in its log, and gives pages of other origins no leave', async () => {
  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString());
      done();
    },
  });
  const url = await start({ logger: { level: 'trace', stream }, origins: ['https://a.example'] });
  expect((await ask(url, { prompt: 'a secret fox' })).status).toBe(200);
  expect(lines.join('')).toContain('job done');
  expect(lines.join('')).not.toContain('secret');
  const preflight = (origin: string) =>
    fetch(`${url}/v1/models`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'GET' },
    });
  expect((await preflight('https://a.example')).headers.get('access-control-allow-origin')).toBe(
    'https://a.example',
  );
  expect((await preflight('https://b.example')).headers.get('access-control-allow-origin')).toBeNull();
});

it('describes itself', async () => {
  const url = await start();
  const document: unknown = await (await fetch(`${url}/openapi.json`)).json();
  const { paths } = v.parse(v.object({ paths: v.record(v.string(), v.unknown()) }), document);
  expect(Object.keys(paths)).toEqual(
    expect.arrayContaining(['/v1/images/generations', '/v1/images/edits', '/sdapi/v1/txt2img', '/ready']),
  );
});

it('names models as it was told', () => {
  expect(readSources('--model', ['a/sdxl', 'x=owner/name', 'b/c.safetensors'])).toEqual([
    { name: 'sdxl', source: 'a/sdxl' },
    { name: 'x', source: 'owner/name' },
    { name: 'c', source: 'b/c.safetensors' },
  ]);
  expect(() => readSources('--model', ['a/x', 'b/x'])).toThrow(/two are called 'x'/);
  const models = [{ name: 'sdxl', source: 'a/sdxl' }];
  expect(readAddedSources('--controlnet', ['a/canny', 'x=b/c', 'sdxl:x=d:/e'], models)).toEqual([
    { name: 'canny', source: 'a/canny' },
    { name: 'x', source: 'b/c' },
    { name: 'x', source: 'd:/e', model: 'sdxl' },
  ]);
  expect(() => readAddedSources('--controlnet', ['sd:x=b/c'], models)).toThrow(/no model 'sd'.*sdxl/);
});
