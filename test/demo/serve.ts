/** @file The demo page, built and served as it would be published. */
import { fileURLToPath } from 'node:url';
import { build, preview } from 'vite';
import { vi } from 'vitest';

const DEMO = fileURLToPath(new URL('../../demo', import.meta.url));

/** A page that is served. */
export interface ServedPage {
  readonly url: string;
  close(): Promise<void>;
}

/** Builds the page into a folder. */
export async function buildPage(folder: string): Promise<void> {
  // Vitest's own NODE_ENV would make a build for development of it.
  vi.stubEnv('NODE_ENV', 'production');
  await build({ root: DEMO, logLevel: 'error', build: { outDir: folder, emptyOutDir: true } });
  vi.unstubAllEnvs();
}

/** Serves what was built. */
export async function servePage(folder: string): Promise<ServedPage> {
  const server = await preview({ root: DEMO, build: { outDir: folder }, preview: { port: 0 } });
  return { url: server.resolvedUrls?.local[0] ?? '', close: () => server.close() };
}
