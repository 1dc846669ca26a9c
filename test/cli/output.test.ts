/** @file Pictures are written whole or not at all, and what the system says is said with what to do. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeFileAtomically } from '../../cli/src/output.ts';
import { OptionError } from '../../src/errors.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-output-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('replaces what was there, and leaves nothing else behind', async () => {
  const path = join(folder, 'a.png');
  await writeFile(path, 'old');
  await writeFileAtomically('--output', path, Uint8Array.of(1, 2, 3));
  expect([...(await readFile(path))]).toEqual([1, 2, 3]);
  expect(await readdir(folder)).toEqual(['a.png']);
});

it('names the option and the reason when the system refuses', async () => {
  const writing = writeFileAtomically('--output', join(folder, 'gone', 'a.png'), Uint8Array.of(1));
  await expect(writing).rejects.toBeInstanceOf(OptionError);
  await expect(writing).rejects.toThrow(/--output: '.*a\.png' could not be written \(ENOENT\)\. Make room/);
});
