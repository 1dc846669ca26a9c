/** @file How Vite builds the page, and serves the starter model beside it. */
import { cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const model = dirname(fileURLToPath(import.meta.resolve('@calotype/emoji-starter/model_index.json')));
/** What a page needs to share memory between threads; without it the CPU backend has one. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  base: './',
  // A file that a model does not have must be a 404, not this page again.
  appType: 'mpa',
  // calotype's worker starts further ones.
  worker: { format: 'es' },
  build: { target: 'es2022' },
  server: { headers },
  preview: { headers },
  plugins: [
    {
      name: 'starter-model',
      apply: 'build',
      writeBundle: ({ dir }) => cp(model, join(dir, 'model'), { recursive: true }),
    },
  ],
});
