/** @file Finds programs that tests use where they are installed. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Something that is found here, or the reason why tests that need it are skipped. */
export type Found = { readonly path: string } | { readonly missing: string };

/** A program by the path in an environment variable, or else on PATH under one of its names. */
export function findExecutable(variable: string, names: readonly string[]): Found {
  const given = process.env[variable];
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = given ? [given] : folders.flatMap((folder) => names.map((name) => join(folder, name)));
  const path = candidates.find(isExecutable);
  if (path !== undefined) return { path };
  return {
    missing: given
      ? `${variable} names ${given}, which cannot be run`
      : `there is no ${names.join(' or ')} on PATH, and ${variable} names none`,
  };
}

/** Mesa's software Vulkan driver, by its manifest: the path in LAVAPIPE, or else where systems keep manifests. */
export function findLavapipe(): Found {
  const given = process.env['LAVAPIPE'];
  if (given)
    return existsSync(given) ? { path: given } : { missing: `LAVAPIPE names ${given}: no such file` };
  for (const folder of ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d']) {
    const name = existsSync(folder)
      ? readdirSync(folder).find((file) => /^lvp_icd.*\.json$/.test(file))
      : undefined;
    if (name !== undefined) return { path: join(folder, name) };
  }
  return {
    missing: 'lavapipe (Debian: mesa-vulkan-drivers) is not installed, and LAVAPIPE names no manifest of it',
  };
}

/** What is missing first, if anything is; said aloud, since reporters do not list what was skipped. */
export function firstMissing(who: string, ...found: readonly Found[]): string | undefined {
  for (const thing of found)
    if ('missing' in thing) {
      process.stderr.write(`skipped: ${who}: ${thing.missing}\n`);
      return thing.missing;
    }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
