/** @file What the native half is built from. */

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders and files of native-cuda/ that the library depends on. */
const SOURCES = ['addon', 'kernels', 'tools/build.ts', 'tools/toolkit.ts'];

/** All sources by path below native-cuda/, in a fixed order. */
async function listSources(root: string): Promise<string[]> {
  const lists = SOURCES.map(async (source) => {
    if (source.endsWith('.ts')) return [source];
    const entries = await readdir(join(root, source), { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && /\.(cc|cu|cuh|h|hpp)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  });
  return (await Promise.all(lists)).flat().sort();
}

/** SHA-256 of all sources, names included; the manifest beside the built library has that of its own. */
export async function hashSources(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of await listSources(root)) {
    const bytes = await readFile(join(root, path));
    hash.update(`${path.replaceAll('\\', '/')}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}
