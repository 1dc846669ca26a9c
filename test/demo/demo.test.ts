/** @file The demo page, built and served as it would be published, in headless browsers, with WebGPU and without. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findExecutable, firstMissing } from '../support/executables.ts';
import { SWIFTSHADER } from '../support/chromium.ts';
import { checkAccess } from './access.ts';
import { visitControl } from './control-visit.ts';
import { buildPage, servePage, type ServedPage } from './serve.ts';
import { longestTasks, SLOW, slowness, TRACED, visit } from './visit.ts';

/** Milliseconds of its own thread's time that a task of the page may take of an ordinary core. */
const LONG = 50;

const chromiumFound = findExecutable('CHROMIUM', ['chromium', 'chromium-browser', 'google-chrome']);
const noChromium = firstMissing('the demo page in Chromium', chromiumFound);
const skipped = (missing: string | undefined): string => (missing ? ` (skipped: ${missing})` : '');

describe.skipIf(noChromium)('the demo page', () => {
  let folder: string;
  let server: ServedPage;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'calotype-demo-'));
    await buildPage(folder);
    server = await servePage(folder);
  }, SLOW);
  afterAll(async () => {
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test.skipIf(noChromium).each([
    { where: 'without WebGPU', args: [], search: '', backend: /^cpu: .*WebAssembly/ },
    { where: 'on WebGPU', args: SWIFTSHADER, search: '?backend=webgpu-software', backend: /^webgpu: / },
  ])(
    `in Chromium $where: draws, stops, takes a LoRA, goes on offline, takes a picture back; no task is long${skipped(noChromium)}`,
    { timeout: 4 * SLOW },
    async ({ where, args, search, backend }) => {
      if ('missing' in chromiumFound) throw new Error('this test is skipped');
      const browser = await chromium.launch({
        executablePath: chromiumFound.path,
        chromiumSandbox: false,
        args: [...args],
      });
      try {
        const page = await browser.newPage();
        page.setDefaultTimeout(SLOW);
        const path = join(folder, 'trace.json');
        const slowBefore = slowness();
        await browser.startTracing(page, { path, categories: TRACED });
        await visit({
          page,
          url: server.url + search,
          backend,
          redraws: args.length === 0,
          goOffline: () => page.context().setOffline(true),
        });
        await browser.stopTracing();
        const limit = LONG * Math.max(slowBefore, slowness());
        const tasks = await longestTasks(path, server.url);
        const longest = tasks.slice(0, 3).map((ms) => ms.toFixed(0));
        process.stdout.write(
          `the page ${where}: ${tasks.length} tasks, the longest of ${longest.join(', ')} ms; limit ${limit.toFixed(0)} ms\n`,
        );
        expect(tasks.length).toBeGreaterThan(100);
        // The visit loads the page twice and draws more often: what the page does too long it does again. Once may be the
        // browser's own doing, or its neighbours'.
        expect(tasks[1]).toBeLessThan(limit);
        // What the tests do there takes longer, and a software adapter would compile everything for another model.
        if (args.length > 0) return;
        await checkAccess(page);
        await visitControl(page, join(folder, 'made'));
      } finally {
        await browser.close();
      }
    },
  );

  test('is small by itself', async () => {
    const html = await readFile(join(folder, 'index.html'), 'utf8');
    const scripts = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, path]) => path);
    expect(scripts.length).toBeGreaterThanOrEqual(2);
    const sizes = await Promise.all(
      scripts.map(async (path) => gzipSync(await readFile(join(folder, path))).length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(100_000);
  });
});
