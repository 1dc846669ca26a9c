/** @file Pictures in storage that speaks S3, beside one that checks signatures by an implementation of its own. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openStore, PictureLinks } from '../../server/src/index.ts';
import { isSigned, signatureOf } from './sigv4.ts';

const KEY = { id: 'key', secret: 'secret/with+signs' };
const files = new Map<string, { readonly type: string | undefined; readonly bytes: Buffer }>();
let now = Date.now();
let bucket: Server;
let endpoint = '';

beforeAll(async () => {
  bucket = createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://none').pathname;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const bytes = Buffer.concat(chunks);
      const file = files.get(path);
      const { method, headers } = request;
      if (!isSigned(request, bytes, { ...KEY, now: () => now })) response.statusCode = 403;
      else if (method === 'GET' && !file) response.statusCode = 404;
      else if (method === 'PUT') files.set(path, { type: headers['content-type'], bytes });
      else if (method === 'DELETE') files.delete(path);
      if (response.statusCode !== 200 || method !== 'GET') return void response.end();
      response.setHeader('content-type', file?.type ?? '');
      response.end(file?.bytes);
    });
  });
  await new Promise<void>((resolve) => void bucket.listen(0, resolve));
  endpoint = `http://127.0.0.1:${(bucket.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => void bucket.close(resolve)));

const open = (secret = KEY.secret) =>
  openStore('s3://pictures/of', {
    AWS_ACCESS_KEY_ID: KEY.id,
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_ENDPOINT_URL: endpoint,
  });

it("the stand-in signs the address in AWS' documentation as that does", () => {
  const query = new Map([
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'],
    ['X-Amz-Date', '20130524T000000Z'],
    ['X-Amz-Expires', '86400'],
    ['X-Amz-SignedHeaders', 'host'],
  ]);
  const request = {
    method: 'GET',
    path: '/test.txt',
    query,
    headers: { host: 'examplebucket.s3.amazonaws.com' },
    signedHeaders: 'host',
    payload: 'UNSIGNED-PAYLOAD',
    time: '20130524T000000Z',
    scope: '20130524/us-east-1/s3/aws4_request',
  };
  expect(signatureOf(request, 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')).toBe(
    'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  );
});

it('stores, gets and removes pictures, each time signed', async () => {
  const store = open();
  await store.put('job/0.png', Uint8Array.of(1, 2));
  expect([...files.keys()]).toEqual(['/pictures/of/job/0.png']);
  expect([...(await store.get('job/0.png'))]).toEqual([1, 2]);
  await store.remove('job/0.png');
  await expect(store.get('job/0.png')).rejects.toThrow(/not in the storage/);
  await expect(open('another').put('job/0.png', Uint8Array.of(1))).rejects.toThrow(/PUT with 403.*keys/s);
  await expect(store.get('../secret.png')).rejects.toThrow(/no name of a picture/);
  expect(() => openStore('s3://pictures/of', {})).toThrow(/AWS_ACCESS_KEY_ID/);
});

it('gives pictures an address in the bucket, signed for an hour', async () => {
  const links = new PictureLinks(open());
  const picture = {
    file: Uint8Array.of(7),
    format: 'webp',
    width: 1,
    height: 1,
    seed: 1,
    parameters: '',
  } as const;
  const url = await links.share(picture, 'http://server');
  expect(url).toMatch(
    new RegExp(`^${endpoint}/pictures/of/\\d{10}-[\\w-]{32}/0\\.webp\\?.*X-Amz-Expires=3600`),
  );
  const response = await fetch(url);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/webp']);
  expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([7]);
  const status = async (address: string) => (await fetch(address)).status;
  expect(await status(url.replace('Expires=3600', 'Expires=360000'))).toBe(403);
  expect(await status(url.replace('0.webp', '1.webp'))).toBe(403);
  expect(await status(url.replace(/\?.*/, ''))).toBe(403);
  now += 3_601_000;
  expect(await status(url)).toBe(403);
});
