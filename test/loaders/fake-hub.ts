/** @file A stand-in for the Hugging Face Hub and the other host where it keeps large files. */
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import {
  type SeenRequest,
  serveFile,
  type ServeOptions,
  startServer,
  type TestServer,
} from './http-server.ts';

/** The repository that make_hub_cache.py serves too. */
export const COMMIT = '0123456789abcdef0123456789abcdef01234567';
export const weights = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
export const files: Readonly<Record<string, Uint8Array>> = {
  'config.json': Buffer.from('{"a": 1}\n'),
  'unet/config.json': Buffer.from('{"b": 2}\n'),
  'unet/model.safetensors': weights,
  'vae/model.safetensors': weights,
};

const gitHash = (data: Uint8Array) =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
export const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** A running Hub of one repository, `owner/name`, with one commit. */
export interface FakeHub {
  readonly hub: TestServer;
  /** Where large files are. */
  readonly storage: TestServer;
  /** Content by path; may be changed. */
  files: Record<string, Uint8Array>;
  commit: string;
  /** How large files are served. */
  storageOptions: ServeOptions;
  /** Replaces answers of the Hub for some requests: true if it has answered. */
  intercept: (request: SeenRequest, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

/** Starts both servers. Files that end in .safetensors are LFS files. */
export async function startFakeHub(): Promise<FakeHub> {
  const hub = await startServer((request, response) => {
    if (!fake.intercept(request, response)) answer(fake, request, response);
  });
  const storage = await startServer((request, response) => {
    const data = fake.files[request.path.slice(1)] ?? new Uint8Array(0);
    serveFile(request, response, data, {
      etag: `"storage-${sha256(data).slice(0, 8)}"`,
      ...fake.storageOptions,
    });
  });
  const fake: FakeHub = {
    hub,
    storage,
    files: { ...files },
    commit: COMMIT,
    storageOptions: {},
    intercept: () => false,
    close: async () => {
      await hub.close();
      await storage.close();
    },
  };
  return fake;
}

function answer(fake: FakeHub, request: SeenRequest, response: ServerResponse): void {
  const fail = (status: number, code: string) => {
    response.writeHead(status, { 'x-error-code': code, 'x-error-message': code }).end();
  };
  const api = /^\/api\/models\/(.+)\/revision\/([^?]+)(?:\?blobs=true)?$/.exec(request.path);
  const file = /^\/(.+)\/resolve\/([^/]+)\/(.+)$/.exec(request.path);
  const [, repository, revision, path = ''] = api ?? file ?? [];
  // The Hub does not tell strangers whether a private repository exists.
  if (repository !== 'owner/name') return fail(401, 'RepoNotFound');
  if (revision !== 'main' && revision !== fake.commit) return fail(404, 'RevisionNotFound');
  if (api !== null) {
    const siblings = Object.entries(fake.files).map(([rfilename, data]) => ({
      rfilename,
      blobId: gitHash(data),
      ...(rfilename.endsWith('.safetensors') && { lfs: { sha256: sha256(data), size: data.length } }),
    }));
    response.end(JSON.stringify({ id: repository, sha: fake.commit, siblings }));
    return;
  }
  const data = Object.hasOwn(fake.files, path) ? fake.files[path] : undefined;
  if (data === undefined) return fail(404, 'EntryNotFound');
  response.setHeader('x-repo-commit', fake.commit);
  if (!path.endsWith('.safetensors'))
    return serveFile(request, response, data, { etag: `"${gitHash(data)}"` });
  response.setHeader('x-linked-etag', `"${sha256(data)}"`);
  response.setHeader('x-linked-size', data.length);
  response.writeHead(302, { location: `${fake.storage.url}/${path}` }).end();
}
