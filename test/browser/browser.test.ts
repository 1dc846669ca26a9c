/**
 * @file calotype in a page of headless Chromium, with the model read over HTTP, weights by ranges only. Skipped by name where there is no
 * Chromium.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundle, type Bundle } from '../support/bundle.ts';
import { openPage, type PageGuest } from '../support/chromium.ts';
import { findExecutable, firstMissing } from '../support/executables.ts';
import { describeBackend, testGuest } from '../support/guest-tests.ts';

const chromium = findExecutable('CHROMIUM', ['chromium', 'chromium-browser', 'google-chrome']);
const missing = firstMissing('Chromium', chromium);

/** Every backend that pages have; `webgpu` says whether the browser is given an adapter. */
const PAGES = [
  { backend: 'webgpu', webgpu: true, isolated: false },
  // With worker threads, and without.
  { backend: 'cpu', webgpu: false, isolated: true },
  { backend: 'cpu', webgpu: false, isolated: false },
];

describe.skipIf(missing)(`in Chromium${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let program: Bundle;
  beforeAll(async () => {
    program = await bundle('browser/page.ts', 'page');
  });
  afterAll(() => program.remove());

  describe.each(PAGES)('$backend, cross-origin isolated: $isolated', ({ backend, webgpu, isolated }) => {
    let guest: PageGuest;
    beforeAll(async () => {
      if ('missing' in chromium) throw new Error('this suite is skipped');
      guest = await openPage(chromium.path, program, { webgpu, isolated });
    });
    afterAll(() => guest.close());

    test('opens', async () => {
      expect(guest.isolated).toBe(isolated);
      // A page without an adapter is what the other backends are for.
      if (!webgpu) expect(await describeBackend(guest.ask, 'webgpu')).toHaveProperty('reason');
      expect(await describeBackend(guest.ask, backend)).toHaveProperty('dtypes');
    });

    testGuest(
      (question) => guest.ask(question),
      backend,
      ['f32'],
      [{ model: 'starter', folder: () => guest.model, cases: ['small'], dtype: 'f32' }],
    );
  });
});
