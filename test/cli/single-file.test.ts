/** @file The command takes checkpoints by the names of their files. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runProgram } from '../../cli/src/command.ts';
import { program } from '../../cli/src/program.ts';
import { publishedCheckpoint } from '../support/single-file.ts';

let folder: string;
let out: string;
let err: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-cli-'));
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((out += String(text))));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((err += String(text))));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

it('inspects a checkpoint', async () => {
  const { head, size } = publishedCheckpoint('sd15');
  const file = join(folder, 'v1-5.safetensors');
  await writeFile(file, head);
  // A hole in the place of the weights: it takes no room on the disk.
  await truncate(file, size);
  expect(await runProgram(program, ['inspect', file, '--backend', 'reference'])).toBe(0);
  expect(out).toMatch(/v1-5\.safetensors: StableDiffusionPipeline/);
  expect(out).toMatch(/unet: .* of weights/);
});

it('generates from a checkpoint, or says what it is', async () => {
  const file = join(folder, 'model.ckpt');
  await writeFile(file, 'PK\x03\x04 and more that is long enough to be a header');
  const picture = join(folder, 'a.png');
  expect(
    await runProgram(program, ['generate', 'x', '-m', file, '-o', picture, '--backend', 'reference']),
  ).toBe(1);
  expect(err).toMatch(/model\.ckpt: is no safetensors file but .*pickle/);
});
