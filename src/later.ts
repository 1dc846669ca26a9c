/**
 * @file Parts of the library that are loaded when they are first asked for. A page that only draws text to image loads none
 * of them; test/package measures what it does load.
 */

import { DownloadError, GraphError } from './errors.ts';

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

/** A part that is used where nothing can be waited for. */
export interface LaterPart<T> {
  /** Loads it, where there is time. Throws DownloadError. */
  load(): Promise<T>;
  /** What was loaded. */
  readonly loaded: T;
}

/** A part that some asynchronous call loads before others, which cannot wait, use it. */
export function laterPart<T>(what: string, load: () => Promise<T>): LaterPart<T> {
  let loaded: T | undefined;
  return {
    load: async () => (loaded ??= await later(what, load)),
    get loaded() {
      if (loaded !== undefined) return loaded;
      throw new GraphError(`the part of calotype for ${what} was not loaded`, {
        remedy: 'This is a bug in calotype, unless you build its graphs yourself: await the part first',
      });
    },
  };
}
