/** @file Runs a guest in a page of headless Chromium. */
import { chromium } from 'playwright-core';
import type { Bundle } from './bundle.ts';
import type { Guest } from './guest.ts';
import { servePage } from './page-server.ts';

/** A guest in a page. */
export interface PageGuest {
  readonly ask: Guest;
  /** Where the page finds the starter model. */
  readonly model: string;
  /** Whether the page may share memory between threads. */
  readonly isolated: boolean;
  /** Ends the browser and its server. */
  close(): Promise<void>;
}

/** How the page is opened. */
export interface PageOptions {
  /** With a WebGPU adapter (SwiftShader), or with none. */
  readonly webgpu: boolean;
  /** Served with the headers that isolate it from other origins. */
  readonly isolated: boolean;
}

/** Chromium gives software adapters only to those who ask. */
export const SWIFTSHADER = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Opens a bundle's `program.js` in a browser of its own. */
export async function openPage(
  executablePath: string,
  bundle: Bundle,
  { webgpu, isolated }: PageOptions,
): Promise<PageGuest> {
  const server = await servePage(bundle, isolated);
  const browser = await chromium.launch({
    executablePath,
    // Chromium refuses to sandbox what root starts, as containers do.
    chromiumSandbox: false,
    args: webgpu ? SWIFTSHADER : [],
  });
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => 'askGuest' in globalThis);
  return {
    ask: (question) =>
      page.evaluate(
        (asked) => (globalThis as typeof globalThis & { askGuest: Guest }).askGuest(asked),
        question,
      ),
    model: `${server.url}/model`,
    isolated: await page.evaluate(() => Reflect.get(globalThis, 'crossOriginIsolated') === true),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
