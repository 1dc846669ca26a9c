/** @file Range reads from servers that cut connections, change files, lie about sizes, ignore ranges and redirect. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DownloadError, FileFormatError } from '../../src/errors.ts';
import { openHttpSource } from '../../src/loaders/http-source.ts';
import { httpModelSource, readText } from '../../src/loaders/model-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { noticedFetch, serveFile, type ServeOptions, startServer, type TestServer } from './http-server.ts';
import { makeSafetensors } from './make-safetensors.ts';

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 253);
const other = content.map((byte) => byte ^ 1);
const fast = { retryDelayMs: 1, fetch: noticedFetch };
const ETAG = '"one"';

let server: TestServer;
let elsewhere: TestServer;
beforeEach(async () => {
  server = await startServer((request, response) => serveFile(request, response, content, { etag: ETAG }));
  elsewhere = await startServer((request, response) => serveFile(request, response, content, { etag: ETAG }));
});
afterEach(async () => {
  await server.close();
  await elsewhere.close();
});

async function open(client = {}) {
  const source = await openHttpSource(`${server.url}/file`, { ...fast, ...client });
  if (source === undefined) throw new Error('not found');
  return source;
}

/** From now on the server behaves like this. */
function serve(options: ServeOptions, body: Uint8Array = content) {
  server.handle = (request, response) => serveFile(request, response, body, { etag: ETAG, ...options });
}

describe('a well-behaved server', () => {
  test('opening takes one request, whose bytes are used again', async () => {
    const source = await open();
    expect(source.size).toBe(content.length);
    expect(await source.read(10, 100)).toEqual(content.slice(10, 110));
    expect(server.seen.map(({ range }) => range)).toEqual(['bytes=0-65535']);
    expect(await source.read(65_530, 10)).toEqual(content.slice(65_530, 65_540));
    expect(await source.read(299_999, 1)).toEqual(content.slice(299_999));
    expect(server.seen.map(({ range }) => range)).toEqual([
      'bytes=0-65535',
      'bytes=65536-65539',
      'bytes=299999-299999',
    ]);
    await expect(source.read(299_999, 2)).rejects.toThrow(FileFormatError);
  });

  test('an empty file, a missing one, and a small one', async () => {
    serve({}, new Uint8Array(0));
    expect((await open()).size).toBe(0);
    serve({}, Uint8Array.of(1, 2));
    expect(await (await open()).read(0, 2)).toEqual(Uint8Array.of(1, 2));
    server.handle = (_, response) => response.writeHead(404).end();
    expect(await openHttpSource(`${server.url}/file`, fast)).toBe(undefined);
  });

  test('tensors of a model on a server', async () => {
    const file = makeSafetensors({ a: { shape: [40_000] }, b: { shape: [2] } });
    server.handle = (request, response) =>
      request.path === '/m/model.safetensors'
        ? serveFile(request, response, file)
        : response.writeHead(404).end();
    const model = httpModelSource(`${server.url}/m/`, fast);
    expect(await model.exists('model.safetensors')).toBe(true);
    expect(await model.exists('x.json')).toBe(false);
    expect(await model.open('x.json')).toBe(undefined);
    await expect(readText(model, 'x.json')).rejects.toThrow(`${server.url}/m: x.json: there is no such file`);
    const source = await model.open('model.safetensors');
    if (source === undefined) throw new Error('not found');
    const weights = await openSafetensors(source);
    expect(await weights.read('b')).toEqual(file.slice(-8));
  });
});

describe('a connection that breaks', () => {
  test('goes on where it stopped, however often, as long as there is progress', async () => {
    const source = await open({ attempts: 2 });
    serve({ cutAfter: 20_000 });
    expect(await source.read(0, content.length)).toEqual(content);
    expect(server.seen.length).toBeGreaterThan(8);
    expect(server.seen.at(-1)?.range).toMatch(/^bytes=[12]\d{5}-299999$/);
  });

  test('gives up when nothing arrives', async () => {
    const source = await open({ attempts: 3 });
    const before = server.seen.length;
    server.handle = (_, response) => response.destroy();
    const failed = source.read(100_000, 10);
    await expect(failed).rejects.toThrow(DownloadError);
    await expect(failed).rejects.toThrow(/the connection failed \(/);
    expect(server.seen.length - before).toBe(3);
  });

  test('a server that is not there', async () => {
    await server.close();
    await expect(open({ attempts: 2 })).rejects.toThrow(/the connection failed \(.*ECONNREFUSED/);
    server = await startServer(() => undefined);
  });

  test('an abort stops at once and is no DownloadError', async () => {
    const source = await open();
    const abort = new AbortController();
    server.handle = () => abort.abort(new Error('changed my mind'));
    await expect(source.read(100_000, 10, abort.signal)).rejects.toThrow('changed my mind');
    expect(server.seen.length).toBe(2);
  });
});

describe('a server that is busy', () => {
  test('429 and 503 are tried again, after Retry-After', async () => {
    const answers = [429, 503];
    server.handle = (request, response) => {
      const status = answers.shift();
      if (status === undefined) serveFile(request, response, content);
      else response.writeHead(status, { 'retry-after': '0' }).end();
    };
    expect((await open()).size).toBe(content.length);
    expect(server.seen.length).toBe(3);
  });

  test('for ever', async () => {
    server.handle = (_, response) => response.writeHead(429).end();
    await expect(open({ attempts: 2 })).rejects.toThrow(/the server answered 429\. Too many requests: wait/);
    expect(server.seen.length).toBe(2);
  });

  test('401 and 403 are final', async () => {
    for (const status of [401, 403]) {
      server.handle = (_, response) => response.writeHead(status).end();
      await expect(open()).rejects.toThrow(new RegExp(`the server answered ${status}\\. Set HF_TOKEN`));
    }
    expect(server.seen.length).toBe(2);
  });
});

describe('a server that cannot be trusted', () => {
  const changes: [what: string, options: ServeOptions, body: Uint8Array, message: RegExp][] = [
    [
      'the file changed',
      { etag: '"two"' },
      other,
      /the file changed while it was read \(from "one" to "two"\)/,
    ],
    ['the file grew', {}, new Uint8Array(400_000), /the size changed from 300000 to 400000 bytes/],
    ['the file shrank', {}, content.subarray(0, 100_000), /the file became shorter/],
    ['ranges are ignored all at once', { ignoreRange: true }, content, /the server ignores range requests/],
    [
      'other bytes than asked',
      { shift: 1 },
      content,
      /asked for bytes 200000-200009, the server answered "bytes 200001-200009\/300000"/,
    ],
    ['more bytes than asked', { extra: 5 }, content, /sent more bytes than its Content-Range says/],
    ['compressed ranges', { headers: { 'content-encoding': 'x-pack' } }, content, /compresses ranges/],
  ];
  test.each(changes)('%s', async (_, options, body, message) => {
    const source = await open();
    serve(options, body);
    const failed = source.read(200_000, 10);
    await expect(failed).rejects.toThrow(DownloadError);
    await expect(failed).rejects.toThrow(message);
    // A lie is no interruption: asking again would not help.
    expect(server.seen.length).toBe(2);
  });

  test('a change is seen by its date where there is no ETag', async () => {
    server.handle = (request, response) =>
      serveFile(request, response, content, { lastModified: 'Mon, 01 Jan 2024 00:00:00 GMT' });
    const source = await open();
    server.handle = (request, response) =>
      serveFile(request, response, other, { lastModified: 'Tue, 02 Jan 2024 00:00:00 GMT' });
    await expect(source.read(100_000, 10)).rejects.toThrow(/the file changed while it was read/);
  });

  test('a size that is a lie: bytes that never come', async () => {
    serve({ claimTotal: 500_000 });
    const source = await open({ attempts: 2 });
    expect(source.size).toBe(500_000);
    await expect(source.read(400_000, 10)).rejects.toThrow(/the file became shorter/);
    await expect(source.read(299_995, 10)).rejects.toThrow(/asked for bytes 299995-300004/);
  });

  test('a size that is not told', async () => {
    serve({ claimTotal: '*' });
    await expect(open()).rejects.toThrow(/does not say how large the file is/);
  });

  test('no ranges at all: small files are taken whole, large ones refused', async () => {
    serve({ ignoreRange: true });
    const source = await open();
    expect(await source.read(299_990, 10)).toEqual(content.slice(299_990));
    expect(server.seen.length).toBe(1);
    serve({ ignoreRange: true }, new Uint8Array(17 << 20));
    await expect(open()).rejects.toThrow(
      /ignores range requests, and the file is too large.*python -m http\.server/,
    );
  });
});

describe('redirects', () => {
  test('the token stays with its origin', async () => {
    server.handle = (request, response) =>
      request.path === '/file'
        ? response.writeHead(307, { location: '/here' }).end()
        : response.writeHead(302, { location: `${elsewhere.url}/there` }).end();
    const source = await open({ token: 'secret' });
    expect(await source.read(100_000, 5)).toEqual(content.slice(100_000, 100_005));
    expect(server.seen.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/file', 'Bearer secret'],
      ['/here', 'Bearer secret'],
      ['/file', 'Bearer secret'],
      ['/here', 'Bearer secret'],
    ]);
    expect(elsewhere.seen.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/there', undefined],
      ['/there', undefined],
    ]);
  });

  test('nor does it come back after a detour', async () => {
    server.handle = (request, response) =>
      request.path === '/file'
        ? response.writeHead(302, { location: `${elsewhere.url}/` }).end()
        : serveFile(request, response, content);
    elsewhere.handle = (_, response) => response.writeHead(302, { location: `${server.url}/back` }).end();
    await open({ token: 'secret' });
    expect(server.seen.at(-1)).toMatchObject({ path: '/back', authorization: undefined });
  });

  test('circles and odd targets end', async () => {
    server.handle = (_, response) => response.writeHead(302, { location: '/file' }).end();
    await expect(open()).rejects.toThrow(/more than 10 redirects/);
    for (const location of ['file:///etc/passwd', 'http://', 'data:,x']) {
      server.handle = (_, response) => response.writeHead(302, { location }).end();
      await expect(open()).rejects.toThrow(/which is no address to follow/);
    }
  });
});
