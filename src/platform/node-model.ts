/** @file Models in Node: folders, and Hub repositories through the cache that Python's client shares. */

import { isAbsolute } from 'node:path';
import { stat } from 'node:fs/promises';
import { freemem } from 'node:os';
import type { ByteSource } from '../loaders/byte-source.ts';
import { hubRepository, hubSettings } from '../loaders/hub.ts';
import type { ModelSource } from '../loaders/model-source.ts';
import type { FromPretrainedOptions } from '../pipelines/load/from-pretrained.ts';
import { cachedHubSource, hubCacheFolder } from './hub-cache.ts';
import { ifThere, isFile, nodeFolderSource, openNodeFile } from './node-file-source.ts';

/** Whether a name is written as a path, so that it cannot be meant as a Hub id. */
function isWrittenAsPath(source: string): boolean {
  return isAbsolute(source) || /^\.{1,2}([\\/]|$)/.test(source);
}

/**
 * A local file: one that exists, or is written as a path and must then exist; undefined for other names.
 * Throws NotFoundError and FileFormatError as `openNodeFile` does.
 */
export async function openLocalFile(source: string): Promise<ByteSource | undefined> {
  return isWrittenAsPath(source) || (await isFile(source)) ? openNodeFile(source) : undefined;
}

/** What exists or is written as a path, which must be a folder; else a Hub repository. */
export async function resolveNodeModel(
  source: string,
  { revision, onProgress }: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<ModelSource> {
  if (isWrittenAsPath(source) || (await ifThere(source, () => stat(source)))) return nodeFolderSource(source);
  return cachedHubSource(hubRepository(source, revision), {
    settings: hubSettings(process.env),
    cacheFolder: hubCacheFolder(process.env),
    onNotice,
    ...(onProgress && {
      onProgress: ({ phase, file, loaded, total }) =>
        onProgress({ phase, item: file, done: loaded, total: total ?? loaded }),
    }),
  });
}

/** Bytes of memory that this process can still have. */
export function freeMemory(): number {
  // What a container allows counts where the runtime knows of it: Deno does not.
  return 'availableMemory' in process ? process.availableMemory() : freemem();
}
