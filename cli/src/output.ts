/** @file Writes pictures so that a file is either whole or not there. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { OptionError } from 'calotype';

/**
 * Makes sure, before any work is done, that a picture can be written there.
 *
 * @throws OptionError when the name does not end in .png, is a folder, or its folder is missing or not writable.
 */
export async function checkOutput(option: string, path: string): Promise<void> {
  if (extname(path).toLowerCase() !== '.png') {
    throw new OptionError(`'${path}' does not end in .png, the one format that is written`, {
      field: option,
      remedy: `Give a name such as ${option} picture.png.`,
    });
  }
  const folder = dirname(path);
  if (!(await isFolder(folder))) {
    throw new OptionError(`the folder '${folder}' does not exist`, {
      field: option,
      remedy: `Make it first (mkdir -p ${folder}) or give another place.`,
    });
  }
  if (await isFolder(path)) {
    throw new OptionError(`'${path}' is a folder`, { field: option, remedy: 'Give the name of a file.' });
  }
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    const remedy = 'Give a folder that you may write to.';
    throw new OptionError(`the folder '${folder}' cannot be written`, { field: option, remedy, cause });
  }
}

/**
 * Writes a temporary file beside `path` and renames it, replacing what was there.
 *
 * @throws OptionError when the disk is full, or the system refuses it otherwise.
 */
export async function writeFileAtomically(option: string, path: string, data: Uint8Array): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`);
  try {
    await writeFile(partial, data, { flag: 'wx' });
    await rename(partial, path);
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new OptionError(`'${path}' could not be written${reason}`, {
      field: option,
      remedy: 'Make room on the disk, or give another place; the same seed draws the same picture again.',
      cause,
    });
  } finally {
    await rm(partial, { force: true });
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
