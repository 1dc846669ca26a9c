/** @file The demo page, built and served as it would be published, in headless Chromium, with WebGPU and without. */
import { readFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { build, preview, type PreviewServer } from 'vite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { findExecutable, firstMissing } from '../support/executables.ts';
import { SWIFTSHADER } from '../support/chromium.ts';

const found = findExecutable('CHROMIUM', ['chromium', 'chromium-browser', 'google-chrome']);
const missing = firstMissing('Chromium', found);
const DEMO = fileURLToPath(new URL('../../demo', import.meta.url));
/** Loading and a small picture on a software adapter, beside other tests. */
const SLOW = 60_000;

describe.skipIf(missing)(`the demo page${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let folder: string;
  let server: PreviewServer;
  let url: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'calotype-demo-'));
    // Vitest's own NODE_ENV would make a build for development of it.
    vi.stubEnv('NODE_ENV', 'production');
    await build({ root: DEMO, logLevel: 'error', build: { outDir: folder, emptyOutDir: true } });
    vi.unstubAllEnvs();
    server = await preview({ root: DEMO, build: { outDir: folder }, preview: { port: 0 } });
    url = server.resolvedUrls?.local[0] ?? '';
  }, SLOW);
  afterAll(async () => {
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (args: readonly string[]): Promise<{ browser: Browser; page: Page }> => {
    if ('missing' in found) throw new Error('this suite is skipped');
    const browser = await chromium.launch({
      executablePath: found.path,
      chromiumSandbox: false,
      args: [...args],
    });
    const page = await browser.newPage();
    page.setDefaultTimeout(SLOW);
    return { browser, page };
  };
  const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
  const ready = async (page: Page): Promise<void> => {
    await page.locator('button.primary:not(:disabled):not(.stop)').waitFor();
  };
  const set = async (page: Page, label: string, value: string): Promise<void> => {
    await page.getByLabel(label, { exact: true }).fill(value);
    await page.getByLabel(label, { exact: true }).blur();
  };
  /** The gallery's files, newest first. */
  const kept = async (page: Page): Promise<Buffer[]> => {
    const files: Buffer[] = [];
    for (const image of await page.locator('.gallery img').all()) {
      const address = await image.getAttribute('src');
      const bytes: unknown = await page.evaluate(
        `fetch(${JSON.stringify(address)}).then(async (answer) => [...new Uint8Array(await answer.arrayBuffer())])`,
      );
      files.push(Buffer.from(Array.isArray(bytes) ? bytes : []));
    }
    return files;
  };
  const small = async (page: Page, steps: string): Promise<void> => {
    await set(page, 'Width', '64');
    await set(page, 'Height', '64');
    await set(page, 'Steps', steps);
  };

  test(
    'draws, previews, cancels, keeps; reloads without a network; takes a picture back',
    { timeout: 3 * SLOW },
    async () => {
      const { browser, page } = await open([]);
      try {
        const errors: string[] = [];
        page.on('pageerror', (error) => errors.push(error.message));
        await page.goto(url);
        await ready(page);
        // Without an adapter it says so and uses the CPU.
        await page.getByText('Model: Starter model').click();
        await expect(page.getByText(/^cpu:/).innerText()).resolves.toMatch(/WebAssembly/);
        await expect(page.getByText(/webgpu is not used/).innerText()).resolves.toMatch(/\./);

        // Previews move: one pixel a latent, then the picture.
        await set(page, 'Steps', '5');
        await button(page, 'Draw').click();
        await page.locator('canvas.preview[width="32"]').waitFor();
        await page.locator('canvas.picture[width="256"]').waitFor();
        await expect.poll(() => page.locator('.gallery img').count()).toBe(1);

        // A long one is stopped, and the page goes on.
        await set(page, 'Steps', '150');
        await button(page, 'Draw').click();
        await page.locator('canvas.preview').waitFor();
        await button(page, 'Stop').click();
        await ready(page);
        await expect.poll(() => page.locator('.gallery img').count()).toBe(1);
        expect(await page.locator('.problem').count()).toBe(0);

        // The worker of the page takes over before the network goes.
        await page.evaluate('navigator.serviceWorker.ready.then(() => undefined)');
        const seed = await page.getByLabel('Seed', { exact: true }).inputValue();
        const [png] = await kept(page);
        await page.context().setOffline(true);
        await page.reload();
        await ready(page);
        await expect.poll(() => page.locator('.gallery img').count()).toBe(1);
        await page.getByText('Model: Starter model').click();
        await page.getByText(/its copy in the cache is used/).waitFor();

        // Its own picture brings its recipe back, and draws again what it was.
        await set(page, 'Prompt', 'something else');
        await page.getByText('Begin with a picture').click();
        await page.getByLabel('Picture (or drop one anywhere)').setInputFiles({
          name: 'apple.png',
          mimeType: 'image/png',
          buffer: png,
        });
        await expect
          .poll(() => page.getByLabel('Prompt', { exact: true }).inputValue())
          .toBe('a red apple, 3D');
        expect(await page.getByLabel('Steps').inputValue()).toBe('5');
        expect(await page.getByLabel('Seed', { exact: true }).inputValue()).not.toBe(seed);
        await button(page, 'Draw').click();
        await page.locator('.gallery li').nth(1).waitFor();
        const again = await kept(page);
        expect(again[0]).toEqual(again[1]);
        expect(errors).toEqual([]);
      } finally {
        await browser.close();
      }
    },
  );

  test('draws on WebGPU where there is an adapter', { timeout: 3 * SLOW }, async () => {
    const { browser, page } = await open(SWIFTSHADER);
    try {
      await page.goto(`${url}?backend=webgpu-software`);
      await ready(page);
      await page.getByText('Model: Starter model').click();
      await page.getByText(/^webgpu:/).waitFor();
      await small(page, '1');
      await button(page, 'Draw').click();
      await page.locator('canvas.picture').waitFor();
    } finally {
      await browser.close();
    }
  });

  test('the page itself is small', async () => {
    const { gzipSync } = await import('node:zlib');
    const html = await readFile(join(folder, 'index.html'), 'utf8');
    const scripts = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, path]) => path);
    expect(scripts.length).toBeGreaterThanOrEqual(2);
    const sizes = await Promise.all(
      scripts.map(async (path) => gzipSync(await readFile(join(folder, path))).length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(100_000);
  });
});
