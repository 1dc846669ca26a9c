/** @file The starter model's files at `starter/`: served in development, copied into a build. */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import sirv from 'sirv';
import type { Plugin } from 'vite';

const FOLDER = dirname(createRequire(import.meta.url).resolve('@calotype/emoji-starter/package.json'));
/** What a diffusers model consists of, and its licence. */
const PARTS = /^(?:(?:scheduler|text_encoder|tokenizer|unet|vae)\/|model_index\.json|calotype\.json|LICENSE)/;

export function starterModel(): Plugin {
  return {
    name: 'starter-model',
    configureServer(server) {
      server.middlewares.use('/starter', sirv(FOLDER, { dev: true }));
    },
    async generateBundle() {
      const entries = await readdir(FOLDER, { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        const path = relative(FOLDER, join(entry.parentPath, entry.name)).split(sep).join('/');
        if (!entry.isFile() || !PARTS.test(path)) continue;
        this.emitFile({
          type: 'asset',
          fileName: `starter/${path}`,
          source: await readFile(join(FOLDER, path)),
        });
      }
    },
  };
}
