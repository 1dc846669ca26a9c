/** @file How the page is built: preact's JSX, the starter model beside it, and a service worker that knows its files. */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { serviceWorker } from './plugins/service-worker.ts';
import { starterModel } from './plugins/starter-model.ts';

/** What a page needs to share memory between threads. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const version: unknown = Reflect.get(Object(manifest), 'version');

export default defineConfig({
  define: { __CALOTYPE_VERSION__: JSON.stringify(version) },
  base: './',
  // A file that a model does not have must be a 404, not this page again.
  appType: 'mpa',
  plugins: [starterModel(), serviceWorker()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // calotype's own worker starts further ones, which take their code by import.
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 2000 },
  server: { headers: ISOLATION },
  preview: { headers: ISOLATION },
});
