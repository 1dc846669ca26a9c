/** @file Serves a page with a bundled guest and the starter model, to a browser on this machine. */
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { isPlainPath } from '../../src/loaders/model-source.ts';
import { type SeenRequest, serveFile, startServer, type TestServer } from '../loaders/http-server.ts';
import type { Bundle } from './bundle.ts';
import { STARTER } from './fixtures.ts';

const PAGE = '<!doctype html><title>calotype</title><script type="module" src="/program.js"></script>';

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** What a cross-origin isolated page is served with: it may share memory between threads. */
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/** Starts the server: the page at `/`, the model below `/model`, the bundle's modules beside the page. */
export async function servePage(bundle: Bundle, isolated: boolean): Promise<TestServer> {
  const files = new Map<string, Promise<Uint8Array>>();
  const read = async (path: string): Promise<Uint8Array> => {
    if (path === '') return new TextEncoder().encode(PAGE);
    if (!isPlainPath(path)) throw new Error(`${path} is no path below the page`);
    return path.startsWith('model/')
      ? readFile(join(STARTER, path.slice('model/'.length)))
      : readFile(join(bundle.folder, path));
  };
  const content = async (path: string): Promise<Uint8Array> => {
    const file = files.get(path) ?? read(path);
    files.set(path, file);
    return file;
  };
  return startServer((request: SeenRequest, response) => {
    const path = decodeURIComponent(new URL(request.path, 'http://page').pathname.slice(1));
    // Weights are handed out in parts only, so that reading a whole file cannot go unnoticed.
    if (request.method === 'GET' && path.endsWith('.safetensors') && request.range === undefined) {
      response.writeHead(400).end('a range is missing');
      return;
    }
    const type = path === '' ? 'text/html' : (TYPES[extname(path)] ?? 'application/octet-stream');
    const headers = { 'content-type': type, ...(isolated ? ISOLATION : {}) };
    content(path).then(
      (body) => serveFile(request, response, body, { headers, etag: `"${body.length}"` }),
      () => response.writeHead(404).end(),
    );
  });
}
