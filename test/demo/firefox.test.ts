/** @file The demo page in Firefox as it is shipped, driven through WebDriver BiDi: a small picture on the CPU, and a visit without a network. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, type Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { findExecutable, firstMissing } from '../support/executables.ts';
import { fixturePath } from '../support/fixtures.ts';
import { buildPage, servePage, type ServedPage } from './serve.ts';

const found = findExecutable('FIREFOX', ['firefox', 'firefox-esr']);
const missing = firstMissing('the demo page in Firefox', found);
const SLOW = 60_000;

let folder: string;
let server: ServedPage;
beforeAll(async () => {
  if (missing) return;
  folder = await mkdtemp(join(tmpdir(), 'calotype-firefox-'));
  await buildPage(folder);
}, SLOW);
beforeEach(async () => {
  if (!missing) server = await servePage(folder);
});
afterEach(() => server?.close());
afterAll(async () => {
  if (!missing) await rm(folder, { recursive: true, force: true });
});

const read = (page: Page, expression: string): Promise<unknown> => page.evaluate(expression);
/** Waits until an expression of the page is true. */
async function until(page: Page, expression: string): Promise<void> {
  try {
    await page.waitForFunction(expression, { timeout: SLOW, polling: 100 });
  } catch (error) {
    const shown = await read(page, 'document.body.innerText');
    throw new Error(`${expression} did not come true; the page shows: ${String(shown)}`, { cause: error });
  }
}
async function press(page: Page, name: string): Promise<void> {
  await page.locator(`::-p-aria(${name})`).setTimeout(SLOW).click();
}
/** Types a number into a field of the form. */
async function set(page: Page, label: string, value: number): Promise<void> {
  await read(
    page,
    `{
      const label = [...document.querySelectorAll('label')].find((one) => one.textContent.trim() === ${JSON.stringify(label)});
      const input = label.control;
      input.value = ${value};
      for (const kind of ['input', 'change']) input.dispatchEvent(new Event(kind, { bubbles: true }));
    }`,
  );
}
const READY = `document.querySelector('button.primary:not(:disabled):not(.stop)') !== null`;
const KEPT = `document.querySelectorAll('.gallery img').length`;

test.skipIf(missing)(
  `draws in Firefox, stops, takes a LoRA, goes on offline, takes a picture back${missing ? ` (skipped: ${missing})` : ''}`,
  { timeout: 4 * SLOW },
  async () => {
    if ('missing' in found) throw new Error('this test is skipped');
    const browser = await launch({ browser: 'firefox', executablePath: found.path, headless: true });
    try {
      const page = await browser.newPage();
      await page.goto(server.url);
      await until(page, READY);
      // Without an adapter it says so and uses the CPU.
      expect(await read(page, `document.querySelector('main').textContent`)).toMatch(/cpu: WebAssembly/);
      for (const side of ['Width', 'Height']) await set(page, side, 64);
      await set(page, 'Steps', 3);
      await press(page, 'Draw');
      await until(page, `${KEPT} === 1`);

      await set(page, 'Steps', 150);
      await press(page, 'Draw');
      await until(page, `document.querySelector('canvas.preview') !== null`);
      await press(page, 'Stop');
      await until(page, READY);

      const picker = await page.$('input[type=file][multiple]');
      if (!picker) throw new Error('there is no field for LoRAs');
      await picker.uploadFile(fixturePath('demo/starter-lora.safetensors'));
      await until(page, `document.querySelector('[aria-label="Remove starter-lora"]') !== null && ${READY}`);
      await set(page, 'Steps', 2);
      await press(page, 'Draw');
      await until(page, `${KEPT} === 2`);

      // The page's own files are kept before the network goes.
      await read(page, 'navigator.serviceWorker.ready.then(() => undefined)');
      await server.close();
      await page.reload();
      await until(page, READY);
      await until(page, `${KEPT} === 2`);
      await set(page, 'Steps', 9);
      await read(
        page,
        `(async () => {
          const [, plain] = document.querySelectorAll('.gallery img');
          const transfer = new DataTransfer();
          const png = await (await fetch(plain.src)).blob();
          transfer.items.add(new File([png], 'plain.png', { type: 'image/png' }));
          document.querySelector('.page').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }));
        })()`,
      );
      await until(
        page,
        `[...document.querySelectorAll('label')].find((one) => one.textContent.trim() === 'Steps').control.value === '3'`,
      );
    } finally {
      await browser.close();
    }
  },
);
