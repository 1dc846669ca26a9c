/** @file A visit to the demo page, from the first picture to a recipe that comes back without a network. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import * as v from 'valibot';
import { expect } from 'vitest';
import { fixturePath } from '../support/fixtures.ts';

/** Loading, and a small picture on a software adapter beside other tests. */
export const SLOW = 60_000;
const PROMPT = 'a red apple, 3D';

/** Where and how. */
export interface Visit {
  readonly page: Page;
  readonly url: string;
  /** What the model panel says that it runs on. */
  readonly backend: RegExp;
  /** Whether the picture of a recipe is drawn again; a software adapter would compile all kernels anew for it. */
  readonly redraws: boolean;
  /** Takes the network away. */
  goOffline(): Promise<void>;
}

export const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

/** Waits until the page can draw. */
export async function ready(page: Page): Promise<void> {
  await page.locator('button.primary:not(:disabled):not(.stop)').waitFor();
}

async function set(page: Page, label: string, value: string): Promise<void> {
  await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByLabel(label, { exact: true }).blur();
}

/** The gallery's files, newest first. */
export async function kept(page: Page): Promise<Buffer[]> {
  const files: Buffer[] = [];
  for (const image of await page.locator('.gallery img').all()) {
    const address = await image.getAttribute('src');
    const bytes: unknown = await page.evaluate(
      `fetch(${JSON.stringify(address)}).then(async (answer) => [...new Uint8Array(await answer.arrayBuffer())])`,
    );
    files.push(Buffer.from(Array.isArray(bytes) ? bytes : []));
  }
  return files;
}

const keptCount = (page: Page) => expect.poll(() => page.locator('.gallery img').count(), { timeout: SLOW });

/** Drops a PNG file onto the page. */
async function drop(page: Page, name: string, png: Buffer): Promise<void> {
  await page.evaluate(`{
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(${JSON.stringify([...png])})], ${JSON.stringify(name)}, { type: 'image/png' }));
    document.querySelector('.page').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }));
  }`);
}

/** Previews of a drawing that looked different. */
async function seePreviewsMove(page: Page): Promise<void> {
  await page.waitForFunction(
    `{
      const canvas = document.querySelector('canvas.preview');
      if (canvas) (globalThis.seenPreviews ??= new Set()).add(canvas.toDataURL());
      globalThis.seenPreviews?.size >= 2
    }`,
  );
}

/** Everything that the page is for. */
export async function visit({ page, url, backend, redraws, goOffline }: Visit): Promise<void> {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(url);
  await ready(page);
  await page.getByText('Model: Starter model').click();
  await page.getByText(backend).waitFor();
  await page.getByText('Kept by this browser').waitFor();

  // A small picture.
  expect(await page.getByLabel('Width', { exact: true }).inputValue()).toBe('256');
  await page.getByText('6 of 75 tokens').waitFor();
  await set(page, 'Width', '64');
  await set(page, 'Height', '64');
  await set(page, 'Steps', '3');
  await button(page, 'Draw').click();
  await page.locator('canvas.picture[width="64"]').waitFor();
  await keptCount(page).toBe(1);

  // The previews of a long one move; it is stopped, and the page goes on.
  await page.getByLabel('keep', { exact: true }).check();
  await set(page, 'Steps', '150');
  await button(page, 'Draw').click();
  await seePreviewsMove(page);
  await button(page, 'Stop').click();
  await ready(page);
  await keptCount(page).toBe(1);
  expect(await page.locator('.problem').allInnerTexts()).toEqual([]);

  // The same with a LoRA is another picture.
  await page.getByText('LoRAs and embeddings: none').click();
  await page
    .getByLabel('Files (.safetensors; or drop them anywhere)')
    .setInputFiles(fixturePath('demo/starter-lora.safetensors'));
  await set(page, 'starter-lora', '0.5');
  await set(page, 'Steps', '3');
  await button(page, 'Draw').click();
  await keptCount(page).toBe(2);
  const [adapted, plain] = await kept(page);
  expect(adapted).not.toEqual(plain);

  // The page's own files are kept before the network goes.
  await page.evaluate('navigator.serviceWorker.ready.then(() => undefined)');
  await goOffline();
  await page.reload();
  await ready(page);
  await keptCount(page).toBe(2);
  await page.getByText('Model: Starter model').click();
  await page.getByText(/its copy in the cache is used/).waitFor();

  // Its own pictures bring their recipes back; one draws again what it was.
  await set(page, 'Prompt', 'something (else:1.2)');
  await page.getByLabel('Prompts are read').selectOption('webui');
  await page.getByText('else ×1.2').waitFor();
  await drop(page, 'adapted.png', adapted);
  await page.getByText(/LoRAs that are not loaded: starter-lora/).waitFor();
  await set(page, 'Seed', '1');
  await drop(page, 'plain.png', plain);
  await expect.poll(() => page.getByLabel('Seed', { exact: true }).inputValue()).not.toBe('1');
  expect(await page.getByLabel('Prompt', { exact: true }).inputValue()).toBe(PROMPT);
  expect(await page.getByLabel('Steps', { exact: true }).inputValue()).toBe('3');
  if (redraws) {
    await page.getByLabel('Prompt', { exact: true }).press('Control+Enter');
    await keptCount(page).toBe(3);
    expect((await kept(page))[0]).toEqual(plain);
  }
  expect(errors).toEqual([]);
}

/** Categories of Chromium's tracing that `longestTasks` reads. */
export const TRACED = ['disabled-by-default-devtools.timeline', 'blink.user_timing', '__metadata'];

/**
 * Reads what `Browser.startTracing` wrote: the tasks of a page's main thread, in milliseconds of the thread's own time,
 * longest first. What PerformanceObserver calls a long task is measured by the clock on the wall, which goes on while a
 * software adapter has all cores.
 * @param url what the page's address begins with; the browser has pages of its own
 */
export async function longestTasks(path: string, url: string): Promise<readonly number[]> {
  const { traceEvents } = v.parse(traceSchema, JSON.parse(await readFile(path, 'utf8')));
  const threads = new Set<string>();
  // Navigations are on main threads.
  for (const { name, pid, tid, args } of traceEvents)
    if (name === 'navigationStart' && args?.data?.documentLoaderURL?.startsWith(url) === true)
      threads.add(`${pid}/${tid}`);
  return traceEvents
    .filter(({ name, pid, tid }) => name === 'RunTask' && threads.has(`${pid}/${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000)
    .sort((a, b) => b - a);
}

/** Milliseconds that `slowness` takes of an ordinary core that has nothing else to do. */
const ORDINARY = 25;

/** How many times slower than an ordinary core one is here and now, at least 1: neighbours share its caches and units. */
export function slowness(): number {
  const before = process.cpuUsage();
  let made = 0;
  for (let round = 0; round < 40; round++) {
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `row ${(i * 7919) % 1000}`, value: i / 3 }));
    rows.sort((a, b) => (a.name < b.name ? -1 : 1));
    made += JSON.stringify(rows).length;
  }
  if (made === 0) throw new Error('nothing was computed');
  return Math.max(1, process.cpuUsage(before).user / 1000 / ORDINARY);
}

const traceSchema = v.object({
  traceEvents: v.array(
    v.object({
      name: v.string(),
      pid: v.number(),
      tid: v.number(),
      /** Microseconds of the thread's time. */
      tdur: v.optional(v.number()),
      args: v.optional(
        v.object({
          data: v.optional(v.looseObject({ documentLoaderURL: v.optional(v.string()) })),
        }),
      ),
    }),
  ),
});
