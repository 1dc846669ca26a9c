/** @file The Hub through the cache that Python shares: its layout, resuming, verification, failures, offline use. */
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DownloadError, NotFoundError } from '../../src/errors.ts';
import { hubRepository } from '../../src/loaders/hub.ts';
import { readJson } from '../../src/loaders/model-source.ts';
import type { DownloadProgress } from '../../src/platform/blob-download.ts';
import { cachedHubSource, hubCacheFolder, type HubCacheOptions } from '../../src/platform/hub-cache.ts';
import python from '../fixtures/loaders/hub_cache.json' with { type: 'json' };
import { COMMIT, type FakeHub, files, sha256, startFakeHub, weights } from './fake-hub.ts';
import { noticedFetch } from './http-server.ts';

const LARGE = 'unet/model.safetensors';
let cache = '';
let fake: FakeHub;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'calotype-'));
  fake = await startFakeHub();
});
afterEach(async () => {
  await fake.close();
  await rm(cache, { recursive: true });
});

interface Change extends Partial<Omit<HubCacheOptions, 'settings'>> {
  readonly revision?: string;
  readonly id?: string;
  readonly offline?: boolean;
  readonly token?: string;
}

function repository({
  id = 'owner/name',
  revision = 'main',
  offline = false,
  token,
  http,
  ...rest
}: Change = {}) {
  return cachedHubSource(hubRepository(id, revision), {
    settings: { endpoint: fake.hub.url, token, offline },
    cacheFolder: cache,
    ...rest,
    http: { retryDelayMs: 1, attempts: 3, fetch: noticedFetch, ...http },
  });
}

async function read(path: string, change: Change = {}): Promise<Uint8Array | undefined> {
  const file = await repository(change).open(path);
  const bytes = await file?.read(0, file.size);
  await file?.close?.();
  return bytes;
}

/** Everything in the cache, as make_hub_cache.py lists it. */
async function tree(): Promise<Record<string, object>> {
  const entries = await readdir(cache, { recursive: true, withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter((entry) => !entry.isDirectory())
      .map(async (entry): Promise<[string, object]> => {
        const path = join(entry.parentPath, entry.name);
        const name = path.slice(cache.length + 1);
        if (entry.isSymbolicLink()) return [name, { link: await readlink(path) }];
        const data = await readFile(path);
        return [name, name.includes('/refs/') ? { text: data.toString() } : { sha256: sha256(data) }];
      }),
  );
  return Object.fromEntries(found);
}
const blobs = async () =>
  (await readdir(join(cache, 'models--owner--name', 'blobs'))).map((name) =>
    name.replace(/-\d+-[0-9a-f]{8}/, '-PID'),
  );

describe('a repository that is in order', () => {
  test("the cache is the one that Python's client makes", async () => {
    const source = repository();
    for (const [path, data] of Object.entries(files)) {
      const file = await source.open(path);
      expect(await file?.read(0, data.length)).toEqual(new Uint8Array(data));
      expect(file?.size).toBe(data.length);
      await file?.close?.();
    }
    expect(await tree()).toEqual(python.tree);
    expect(COMMIT).toBe(python.commit);
  });

  test('the first file pins the commit; what is in the cache needs no request', async () => {
    await read('config.json');
    await read(LARGE);
    fake.hub.seen.length = 0;
    const source = repository();
    for (const path of ['config.json', LARGE]) await (await source.open(path))?.close?.();
    expect(await source.exists(LARGE)).toBe(true);
    expect(fake.hub.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'HEAD /owner/name/resolve/main/config.json',
    ]);
    // A commit never changes, so that nothing has to be asked at all.
    expect(await read(LARGE, { revision: COMMIT })).toEqual(weights);
    expect(fake.hub.seen.length).toBe(1);
  });

  test('the same content under another path is not downloaded again', async () => {
    await read(LARGE);
    const before = fake.storage.seen.length;
    expect(await read('vae/model.safetensors')).toEqual(weights);
    expect(fake.storage.seen.length).toBe(before);
  });

  test('files that are not there, listing and JSON', async () => {
    const source = repository();
    expect(await source.open('no.json')).toBe(undefined);
    expect(await source.exists('no.json')).toBe(false);
    expect(await source.list('unet')).toEqual(['config.json', 'model.safetensors']);
    expect(await readJson(source, 'unet/config.json')).toEqual({ b: 2 });
    await expect(readJson(source, 'unet/x.json')).rejects.toThrow(
      'owner/name: unet/x.json: there is no such file; there are config.json, model.safetensors',
    );
    await expect(source.open('../x')).rejects.toThrow(NotFoundError);
  });

  test('progress counts bytes, then the check', async () => {
    const seen: DownloadProgress[] = [];
    await read(LARGE, { onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toEqual({ file: LARGE, phase: 'download', loaded: 0, total: 5000 });
    expect(seen.at(-1)).toEqual({ file: LARGE, phase: 'verify', loaded: 5000, total: 5000 });
    const loaded = seen.filter(({ phase }) => phase === 'download').map((progress) => progress.loaded);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
  });

  test('a new commit of the branch is seen, and the old one stays', async () => {
    await read('config.json');
    fake.commit = 'f'.repeat(40);
    fake.files['config.json'] = Buffer.from('{"a": 2}\n');
    expect(await read('config.json')).toEqual(new Uint8Array(Buffer.from('{"a": 2}\n')));
    expect(await readFile(join(cache, 'models--owner--name/refs/main'), 'utf8')).toBe(fake.commit);
    expect(await readdir(join(cache, 'models--owner--name/snapshots'))).toEqual([COMMIT, fake.commit]);
  });

  test('a new commit between two files does not mix versions', async () => {
    const source = repository();
    await (await source.open('config.json'))?.close?.();
    fake.commit = 'f'.repeat(40);
    // The Hub would still answer for the old commit; this one does not, so it must be an error, not the new file.
    await expect(source.open('unet/config.json')).rejects.toThrow(/has no revision "0123456789abcdef/);
  });

  test('the token goes to the Hub and not to where it stores files', async () => {
    await read(LARGE, { token: 'secret' });
    expect(new Set(fake.hub.seen.map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer secret']),
    );
    expect(fake.storage.seen.length).toBe(1);
    expect(fake.storage.seen[0].authorization).toBe(undefined);
  });
});

describe('connections that break', () => {
  test('the download goes on where it stopped, under the same validator', async () => {
    fake.storageOptions = { cutAfter: 2000 };
    expect(await read(LARGE)).toEqual(weights);
    expect(fake.storage.seen.map(({ range, ifRange }) => [range, ifRange])).toEqual([
      [undefined, undefined],
      ['bytes=2000-', `"storage-${sha256(weights).slice(0, 8)}"`],
      ['bytes=4000-', `"storage-${sha256(weights).slice(0, 8)}"`],
    ]);
    expect(await blobs()).toEqual([sha256(weights)]);
  });

  test('what has arrived is kept for the next run', async () => {
    fake.storageOptions = { cutAfter: 2000, ignoreRange: true };
    const failed = read(LARGE, { http: { attempts: 1 } });
    await expect(failed).rejects.toThrow(DownloadError);
    await expect(failed).rejects.toThrow(/the connection failed|the connection ended/);
    expect(await blobs()).toEqual([
      `${sha256(weights)}.calotype-PID.incomplete`,
      `${sha256(weights)}.calotype-PID.incomplete.validator`,
    ]);
    fake.storageOptions = {};
    fake.storage.seen.length = 0;
    expect(await read(LARGE)).toEqual(weights);
    expect(fake.storage.seen.map(({ range }) => range)).toEqual(['bytes=2000-']);
    expect(await blobs()).toEqual([sha256(weights)]);
  });

  test('what a killed process left is taken over, what a living one writes is not', async () => {
    const folder = join(cache, 'models--owner--name', 'blobs');
    await mkdir(folder, { recursive: true });
    const leave = async (pid: number) => {
      const path = join(folder, `${sha256(weights)}.calotype-${pid}-00000000.incomplete`);
      await writeFile(path, weights.subarray(0, 1000));
      await writeFile(`${path}.validator`, `"storage-${sha256(weights).slice(0, 8)}"`);
    };
    // Process 1 always lives; no process has a number over 2^22.
    await leave(1);
    await leave(2 ** 22 + 1);
    expect(await read(LARGE)).toEqual(weights);
    expect(fake.storage.seen.map(({ range }) => range)).toEqual(['bytes=1000-']);
    expect((await readdir(folder)).filter((name) => name.includes('-1-0')).length).toBe(2);
  });

  test("Python's leftovers are not touched", async () => {
    const folder = join(cache, 'models--owner--name', 'blobs');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${sha256(weights)}.1a2b3c4d.incomplete`), 'theirs');
    await writeFile(join(folder, `${sha256(weights)}.incomplete`), 'theirs too');
    expect(await read(LARGE)).toEqual(weights);
    expect(fake.storage.seen.map(({ range }) => range)).toEqual([undefined]);
    expect((await blobs()).length).toBe(3);
  });

  test('a server without ranges or validators: from the beginning again', async () => {
    fake.storageOptions = { cutAfter: 2000, etag: 'W/"weak"' };
    const failed = read(LARGE, { http: { attempts: 1 } });
    await expect(failed).rejects.toThrow(DownloadError);
    fake.storageOptions = { ignoreRange: true };
    fake.storage.seen.length = 0;
    expect(await read(LARGE)).toEqual(weights);
    expect(fake.storage.seen.map(({ range }) => range)).toEqual([undefined]);
  });

  test('an abort stops the download, keeps the part, and is no DownloadError', async () => {
    const abort = new AbortController();
    fake.storageOptions = { cutAfter: 2000 };
    const source = repository({
      onProgress: ({ loaded }) => {
        if (loaded > 0) abort.abort(new Error('changed my mind'));
      },
    });
    await expect(source.open(LARGE, abort.signal)).rejects.toThrow('changed my mind');
    expect((await blobs())[0]).toMatch(/incomplete$/);
    expect(await readdir(join(cache, 'models--owner--name', 'snapshots', COMMIT, 'unet'))).toEqual([]);
    expect(await read(LARGE)).toEqual(weights);
  });
});

describe('servers that cannot be trusted', () => {
  test('a file that changes between two ranges is fetched anew, and refused as it is another one', async () => {
    fake.storageOptions = { cutAfter: 2000 };
    let storageRequests = 0;
    const { handle } = fake.storage;
    fake.storage.handle = (request, response) => {
      if (storageRequests++ > 0) {
        fake.storageOptions = { etag: '"other"' };
        fake.files[LARGE] = weights.map((byte) => byte ^ 1);
      }
      handle(request, response);
    };
    const failed = read(LARGE);
    await expect(failed).rejects.toThrow(DownloadError);
    await expect(failed).rejects.toThrow(
      /the content is not what the repository says \(hash [0-9a-f]{64}, not [0-9a-f]{64}\)/,
    );
    // Neither the blob nor a part of it stays, nor does a link to it.
    expect(await blobs()).toEqual([]);
    expect(await readdir(join(cache, 'models--owner--name', 'snapshots', COMMIT, 'unet'))).toEqual([]);
  });

  test('damaged content is found by sha256 for large files and by the Git hash for small ones', async () => {
    const handle = fake.storage.handle;
    fake.storage.handle = (request, response) => {
      const right = fake.files;
      fake.files = { [LARGE]: weights.with(17, 0) };
      handle(request, response);
      fake.files = right;
    };
    await expect(read(LARGE)).rejects.toThrow(/not what the repository says/);
    fake.intercept = (request, response) => {
      if (request.method === 'GET') response.end('{"a": 9}\n');
      return request.method === 'GET';
    };
    await expect(read('config.json')).rejects.toThrow(
      /not what the repository says \(hash [0-9a-f]{40}, not/,
    );
    expect(await blobs()).toEqual([]);
  });

  test('sizes that are lies', async () => {
    fake.intercept = (request, response) => {
      if (request.method === 'HEAD')
        response
          .writeHead(302, {
            location: `${fake.storage.url}/${LARGE}`,
            'x-repo-commit': COMMIT,
            'x-linked-etag': `"${sha256(weights)}"`,
            'x-linked-size': '6000',
          })
          .end();
      return request.method === 'HEAD';
    };
    await expect(read(LARGE)).rejects.toThrow(/the server offers 5000 bytes, but the file has 6000/);
    fake.intercept = () => false;
    fake.storageOptions = { extra: 100 };
    await expect(read(LARGE)).rejects.toThrow(/sends more than the 5000 bytes that it announced/);
    fake.storageOptions = {};
    expect(await read(LARGE)).toEqual(weights);
  });

  test('a range that does not begin where it should is thrown away', async () => {
    const once = { http: { attempts: 1 } };
    fake.storageOptions = { cutAfter: 2000 };
    await expect(read(LARGE, once)).rejects.toThrow(DownloadError);
    fake.storageOptions = { shift: 7 };
    await expect(read(LARGE, once)).rejects.toThrow(
      /asked for bytes from 2000, the server answered "bytes 2007-4999\/5000"/,
    );
    fake.storageOptions = {};
    expect(await read(LARGE)).toEqual(weights);
  });

  test('answers that are no Hub', async () => {
    fake.intercept = (_, response) => {
      response.setHeader('etag', '"x"').end('hello');
      return true;
    };
    await expect(read('config.json')).rejects.toThrow(/no commit or no usable ETag/);
    fake.intercept = (_, response) => {
      response.setHeader('x-repo-commit', COMMIT).setHeader('x-linked-etag', '"../../../evil"').end();
      return true;
    };
    await expect(read('config.json')).rejects.toThrow(/no commit or no usable ETag/);
    fake.intercept = (_, response) => {
      response.setHeader('x-repo-commit', '../../evil').setHeader('etag', '"x"').end();
      return true;
    };
    await expect(read('config.json')).rejects.toThrow(/no commit or no usable ETag/);
  });
});

describe('refusals', () => {
  test('a repository, revision or permission that is not there', async () => {
    await expect(read('config.json', { id: 'owner/other' })).rejects.toThrow(NotFoundError);
    await expect(read('config.json', { id: 'owner/other' })).rejects.toThrow(
      /the repository owner\/other is not there, or is private\. Check its spelling; for a private one set HF_TOKEN/,
    );
    await expect(read('config.json', { revision: 'v9' })).rejects.toThrow(/owner\/name has no revision "v9"/);
    for (const [status, code, message] of [
      [403, 'GatedRepo', /access to owner\/name must be granted first\. Accept its terms/],
      [401, '', /the server answered 401\. Set HF_TOKEN/],
      [429, '', /the server answered 429\. Too many requests/],
      [500, '', /the server answered 500/],
    ] as const) {
      fake.intercept = (_, response) => {
        response.writeHead(status, code === '' ? {} : { 'x-error-code': code }).end();
        return true;
      };
      await expect(read('config.json')).rejects.toThrow(message);
      await expect(read('config.json')).rejects.toThrow(DownloadError);
    }
  });

  test('a disk that cannot be written to', async () => {
    await writeFile(join(cache, 'models--owner--name'), 'a file where a folder should be');
    await expect(read('config.json')).rejects.toThrow(
      /could not be written \((EEXIST|ENOTDIR)\)\. Make room on the disk/,
    );
  });
});

describe('without the Hub', () => {
  test('HF_HUB_OFFLINE: files come from the cache, and nothing is asked', async () => {
    await expect(read('config.json', { offline: true })).rejects.toThrow(
      /revision "main" is not in the cache, and HF_HUB_OFFLINE is set/,
    );
    await read('config.json');
    fake.hub.seen.length = 0;
    const source = repository({ offline: true });
    expect(await readJson(source, 'config.json')).toEqual({ a: 1 });
    expect(await source.open(LARGE)).toBe(undefined);
    expect(await source.exists(LARGE)).toBe(false);
    expect(await source.list('')).toEqual(['config.json']);
    expect(fake.hub.seen).toEqual([]);
  });

  test('a Hub that cannot be reached: the cache, with a notice; or the error, if it has nothing', async () => {
    await read('config.json');
    fake.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    const notices: string[] = [];
    const source = repository({ onNotice: (notice) => notices.push(notice) });
    expect(await readJson(source, 'config.json')).toEqual({ a: 1 });
    expect(notices.length).toBe(1);
    expect(notices[0]).toMatch(
      /the connection failed .* Using the files of owner\/name that are in the cache\.$/,
    );
    expect(await source.open(LARGE)).toBe(undefined);
    await expect(read(LARGE)).rejects.toThrow(/the connection failed/);
  });

  test('a link whose blob was deleted is made anew', async () => {
    await read(LARGE);
    await rm(join(cache, 'models--owner--name', 'blobs', sha256(weights)));
    expect(await read(LARGE)).toEqual(weights);
  });
});

test('two downloads at once end in one blob', async () => {
  const results = await Promise.all([read(LARGE), read(LARGE), read('vae/model.safetensors')]);
  for (const bytes of results) expect(bytes).toEqual(weights);
  expect(await blobs()).toEqual([sha256(weights)]);
});

test('where the cache is', () => {
  expect(hubCacheFolder({}, '/home/me')).toBe('/home/me/.cache/huggingface/hub');
  expect(hubCacheFolder({ XDG_CACHE_HOME: '/c' }, '/home/me')).toBe('/c/huggingface/hub');
  expect(hubCacheFolder({ HF_HOME: '~/hf' }, '/home/me')).toBe('/home/me/hf/hub');
  expect(
    hubCacheFolder({ HF_HOME: '/hf', HF_HUB_CACHE: '$DISK/${NAME}/x', DISK: '/d', NAME: 'n' }, '/home/me'),
  ).toBe('/d/n/x');
  expect(hubCacheFolder({ HF_HUB_CACHE: '', HUGGINGFACE_HUB_CACHE: '/old' }, '/home/me')).toBe('/old');
});
