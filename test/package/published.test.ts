/** @file What would be published: what packages declare, that types resolve, that importing does nothing, and how much of it pages load. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pack, PACKAGES, type PackageName } from '../support/packages.ts';
import { LIMITS, measureSizes, sizesTable } from './sizes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NAMES = Object.keys(PACKAGES) as PackageName[];

const manifestSchema = v.object({
  scripts: v.optional(v.record(v.string(), v.string())),
  dependencies: v.optional(v.record(v.string(), v.string())),
});
async function readManifest(path: string): Promise<v.InferOutput<typeof manifestSchema>> {
  return v.parse(manifestSchema, JSON.parse(await readFile(join(ROOT, path, 'package.json'), 'utf8')));
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-packages-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('packages', () => {
  test.each(NAMES)('%s is what publint expects, and runs nothing when it is installed', async (name) => {
    // The library's folder holds the other packages, which it is published without.
    const whole = PACKAGES[name] === '.' ? await readFile((await pack(name, folder)).tarball) : undefined;
    const { messages } = await publint({
      level: 'suggestion',
      ...(whole
        ? { pack: { tarball: new Uint8Array(whole).buffer } }
        : { pack: false, pkgDir: join(ROOT, PACKAGES[name]) }),
    });
    expect(messages).toEqual([]);
    const { scripts = {} } = await readManifest(PACKAGES[name]);
    expect(Object.keys(scripts).filter((script) => /^(pre|post)?install$/.test(script))).toEqual([]);
  });

  test.each(['calotype', '@calotype/cuda', '@calotype/server'] as const)(
    'types of %s resolve as its modules do',
    async (name) => {
      const { tarball } = await pack(name, folder);
      const analysis = await checkPackage(createPackageFromTarballData(await readFile(tarball)));
      if (analysis.types === false) throw new Error('the package has no types');
      // Packages of ES modules alone: what `require` and TypeScript before 4.7 make of them is no promise.
      const problems = analysis.problems.filter(
        (problem) =>
          !('resolutionKind' in problem) ||
          problem.resolutionKind === 'bundler' ||
          problem.resolutionKind === 'node16-esm',
      );
      expect(problems).toEqual([]);
      expect(Object.keys(analysis.entrypoints)).toContain('.');
    },
  );
});

describe('an application', () => {
  /** Its folder, with the package as it would be installed. */
  let app: string;
  beforeAll(async () => {
    app = join(folder, 'app');
    const installed = join(app, 'node_modules/calotype');
    await mkdir(installed, { recursive: true });
    for (const part of ['package.json', 'dist'])
      await cp(join(ROOT, part), join(installed, part), { recursive: true });
    for (const name of Object.keys((await readManifest('.')).dependencies ?? {})) {
      const link = join(app, 'node_modules', name);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(ROOT, 'node_modules', name), link);
    }
  });

  test.each([
    ['in Node', []],
    ['as servers that render pages import it', ['--conditions=browser']],
  ])('imports every entry without doing anything, %s', async (_where, flags) => {
    // What servers do not have, or have under another meaning.
    const script = `
      for (const name of ['window', 'self', 'document', 'navigator', 'Worker', 'localStorage', 'indexedDB', 'GPU'])
        delete globalThis[name];
      const before = Object.keys(globalThis).length;
      for (const name of ['calotype', 'calotype/worker', 'calotype/node', 'calotype/cpu', 'calotype/backend-kit'])
        await import(name);
      if (Object.keys(globalThis).length !== before) throw new Error('it leaves globals behind');`;
    const path = join(app, 'import.mjs');
    await writeFile(path, script);
    // It ends by itself: nothing was started.
    const { stderr } = await promisify(execFile)(process.execPath, [...flags, path], { timeout: 30_000 });
    expect(stderr).toBe('');
  });

  test('of a page holds nothing of Node, and no more than it may', { timeout: 60_000 }, async () => {
    const { sizes, code } = await measureSizes(app);
    process.stdout.write(`${sizesTable(sizes)}\n`);
    expect(code.match(/["'`]node:\w+|worker_threads|HF_HOME/g)).toBeNull();
    expect(Object.keys(sizes)).toEqual(Object.keys(LIMITS));
    for (const [part, size] of Object.entries(sizes))
      expect(size, part).toBeLessThan(LIMITS[part as keyof typeof LIMITS]);
  });
});
