/** @file Small files in the user's cache folder, which can all be made again. */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { TuningFiles } from './tuning-store.ts';

/** Files under `$XDG_CACHE_HOME/calotype`, or `~/.cache/calotype`; what cannot be read or written is left alone. */
export function nodeCacheFiles(env: Readonly<Record<string, string | undefined>>): TuningFiles {
  const base = env['XDG_CACHE_HOME'];
  const root = join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'calotype');
  return {
    read: (path) =>
      readFile(join(root, path)).then(
        (bytes) => new Uint8Array(bytes),
        () => undefined,
      ),
    async write(path, bytes) {
      const file = join(root, path);
      const partial = `${file}.${process.pid}.partial`;
      try {
        await mkdir(dirname(file), { recursive: true });
        await writeFile(partial, bytes);
        await rename(partial, file);
        return true;
      } catch {
        // A full or read-only disk costs the next start its measurements, no more.
        return false;
      }
    },
  };
}
