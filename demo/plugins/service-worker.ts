/** @file Builds the service worker, with the names of the page's files and a number that changes with them. */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

/** Its place decides which pages it serves: all beside it. */
const NAME = 'service-worker.js';

export function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    buildStart() {
      const id = fileURLToPath(new URL('../service-worker/service-worker.ts', import.meta.url));
      this.emitFile({ type: 'chunk', id, fileName: NAME });
    },
    generateBundle(_options, bundle) {
      const worker = bundle[NAME];
      if (worker?.type !== 'chunk') throw new Error('the service worker was not built');
      // Models have a cache of their own.
      const files = Object.keys(bundle).filter((name) => name !== NAME && !name.startsWith('starter/'));
      const names = ['./', 'icon.svg', ...files].toSorted();
      const hash = createHash('sha256').update(worker.code).update(names.join('\n'));
      worker.code = worker.code
        .replace('__FILES__', JSON.stringify(names))
        .replace('__VERSION__', JSON.stringify(hash.digest('hex').slice(0, 16)));
    },
  };
}
