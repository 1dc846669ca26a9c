/**
 * @file Parts of the library that are loaded when they are first asked for. A page that only draws text to image loads none
 * of them; test/package measures what it does load.
 */

import { DownloadError } from './errors.ts';

/**
 * Loads a part: `const { readLoraFile } = await later('LoRA files', () => import('./lora-file.ts'))`.
 * @param what what it is for, in the message
 * @throws DownloadError where the part cannot be had: the page is offline, or the site was published anew meanwhile
 */
export async function later<T>(what: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new DownloadError(`the part of calotype for ${what} could not be loaded`, {
      remedy: 'Check the connection, and load the page again if its site may have changed meanwhile',
      cause,
    });
  }
}
