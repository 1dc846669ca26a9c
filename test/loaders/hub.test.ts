/** @file Names and addresses on the Hub, its settings, and reading a repository without a cache. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigError, FileFormatError, NotFoundError, OptionError } from '../../src/errors.ts';
import { hubRepository, hubSettings, hubSource, resolveUrl } from '../../src/loaders/hub.ts';
import { readJson } from '../../src/loaders/model-source.ts';
import { COMMIT, type FakeHub, startFakeHub, weights } from './fake-hub.ts';

let fake: FakeHub;
beforeEach(async () => {
  fake = await startFakeHub();
});
afterEach(async () => {
  await fake.close();
});

test.each(['gpt2', 'owner/name', 'Foo-BAR/foo.bar_123', 'a/b', 'x'.repeat(96)])(
  '%s is a repository id',
  (id) => {
    expect(hubRepository(id)).toEqual({ id, revision: 'main' });
  },
);

test.each([
  '',
  'a/b/c',
  '/a',
  'a/',
  '../b',
  'a/..',
  '.a/b',
  'a/-b',
  'a/b.',
  'a--b/c',
  'a..b/c',
  'a/b.git',
  'a b/c',
  'a/b?x',
  'ünï/code',
  'x'.repeat(97),
  './folder',
])('%j is no repository id', (id) => {
  expect(() => hubRepository(id)).toThrow(OptionError);
});

test('revisions', () => {
  for (const revision of ['main', 'v1.0', 'refs/pr/7', COMMIT, 'feature/x_y-z'])
    expect(hubRepository('a/b', revision).revision).toBe(revision);
  for (const revision of ['', '..', 'a/../b', '/a', 'a b', 'a?b', 'a#b', 'a\\b', 'a\nb'])
    expect(() => hubRepository('a/b', revision)).toThrow(/is no revision/);
});

test('addresses are escaped as huggingface_hub escapes them', () => {
  const repository = hubRepository('a/b', 'refs/pr/7');
  expect(resolveUrl('https://hub', repository, 'unet/x y#.json')).toBe(
    'https://hub/a/b/resolve/refs%2Fpr%2F7/unet/x%20y%23.json',
  );
  expect(() => resolveUrl('https://hub', repository, '../../x')).toThrow(NotFoundError);
});

test('settings from the environment', () => {
  expect(hubSettings({})).toEqual({ endpoint: 'https://huggingface.co', token: undefined, offline: false });
  expect(
    hubSettings({ HF_ENDPOINT: 'https://mirror.example/hf/', HF_TOKEN: ' t \n', HF_HUB_OFFLINE: 'Yes' }),
  ).toEqual({ endpoint: 'https://mirror.example/hf', token: 't', offline: true });
  expect(hubSettings({ HF_TOKEN: '', HF_HUB_OFFLINE: '0' })).toMatchObject({
    token: undefined,
    offline: false,
  });
  for (const endpoint of ['mirror', 'file:///x', 'ftp://x'])
    expect(() => hubSettings({ HF_ENDPOINT: endpoint })).toThrow(/HF_ENDPOINT: .* is no address/);
});

test('a repository without a cache: one listing, then ranges of that commit', async () => {
  const source = hubSource(hubRepository('owner/name'), { endpoint: fake.hub.url, token: 'secret' });
  expect(await readJson(source, 'config.json')).toEqual({ a: 1 });
  expect(await source.exists('unet/model.safetensors')).toBe(true);
  expect(await source.open('unet/no.json')).toBe(undefined);
  expect(await source.list('unet')).toEqual(['config.json', 'model.safetensors']);
  const file = await source.open('unet/model.safetensors');
  expect(await file?.read(4000, 10)).toEqual(weights.slice(4000, 4010));
  expect(fake.hub.seen.map(({ path }) => path)).toEqual([
    '/api/models/owner/name/revision/main?blobs=true',
    `/owner/name/resolve/${COMMIT}/config.json`,
    `/owner/name/resolve/${COMMIT}/unet/model.safetensors`,
  ]);
  expect(fake.storage.seen.every(({ authorization }) => authorization === undefined)).toBe(true);
});

test('a listing that fails is asked for again next time, and bad ones are typed errors', async () => {
  const source = hubSource(hubRepository('owner/other'), { endpoint: fake.hub.url, token: undefined });
  await expect(source.list('')).rejects.toThrow(/owner\/other is not there, or is private/);
  await expect(source.list('')).rejects.toThrow(NotFoundError);
  expect(fake.hub.seen.length).toBe(2);
  const bodies: [string, typeof ConfigError | typeof FileFormatError, RegExp][] = [
    ['{"sha": "main", "siblings": []}', ConfigError, /sha: expected a commit hash/],
    ['<html>', FileFormatError, /broken JSON/],
    ['[]', ConfigError, /expected a JSON object/],
  ];
  for (const [body, type, message] of bodies) {
    fake.intercept = (_, response) => {
      response.end(body);
      return true;
    };
    const bad = hubSource(hubRepository('owner/name'), { endpoint: fake.hub.url, token: undefined });
    await expect(bad.list('')).rejects.toThrow(message);
    await expect(bad.list('')).rejects.toThrow(type);
  }
});
