/** @file The page's ControlNet panel: a tiny model and a net are picked as folders, and a net that sees a picture changes what is drawn. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { controlNetwork } from '../support/drawn/control.ts';
import { fixturePath } from '../support/fixtures.ts';
import { networkFiles } from '../support/named-networks.ts';
import { button, kept, ready } from './visit.ts';

async function writeNetwork(folder: string, name: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [file, content] of Object.entries(await networkFiles(controlNetwork(name))))
    await writeFile(join(folder, file), content);
}

/**
 * Visits a page that has drawn a small picture, and whose panels are unfolded.
 * @param folder where the model and the net are made
 */
export async function visitControl(page: Page, folder: string): Promise<void> {
  const [model, net] = [join(folder, 'tiny-sd'), join(folder, 'canny')];
  await cp(fixturePath('pipelines/tiny-sd'), model, { recursive: true });
  await writeNetwork(join(model, 'unet'), 'sd');
  await writeNetwork(net, 'canny');
  await page.getByLabel('A diffusers folder on this computer').setInputFiles(model);
  await page.getByText('Model: tiny-sd').waitFor();
  await ready(page);
  await page.getByLabel('A ControlNet’s diffusers folder').setInputFiles(net);
  await page.getByText('ControlNet: canny').waitFor();
  await page.getByText('Without a picture the ControlNet does nothing.').waitFor();
  await ready(page);

  const draw = async (): Promise<Buffer> => {
    const before = (await kept(page)).length;
    await button(page, 'Draw').click();
    await expect.poll(() => page.locator('.gallery img').count(), { timeout: 60_000 }).toBe(before + 1);
    return (await kept(page))[0];
  };
  const without = await draw();
  const picture = { name: 'edges.png', mimeType: 'image/png', buffer: without };
  await page.getByLabel('What it sees: edges, depths, poses, as the net was trained').setInputFiles(picture);
  await page.getByLabel('What the ControlNet sees').waitFor();
  await ready(page);
  expect(await draw()).not.toEqual(without);
  await button(page, 'Remove ControlNet').click();
  await page.getByText('ControlNet: none').waitFor();
  await ready(page);
  expect(await page.locator('.problem').allInnerTexts()).toEqual([]);
}
