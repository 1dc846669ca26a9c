/** @file Whether everybody can use the page: axe's rules on all of it, light and dark, and no scrolling sideways on a phone. */
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/** Checks the page as it is, with every panel unfolded. */
export async function checkAccess(page: Page): Promise<void> {
  const size = page.viewportSize();
  await page.evaluate(`for (const panel of document.querySelectorAll('details')) panel.open = true`);
  await page.evaluate(axe.source);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const found: unknown = await page.evaluate(
      `axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html)))`,
    );
    expect(found, colorScheme).toEqual([]);
  }
  await page.setViewportSize({ width: 360, height: 740 });
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
  await page.emulateMedia({ colorScheme: null });
  if (size) await page.setViewportSize(size);
}
