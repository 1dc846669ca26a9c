/** @file `calotype generate` with --image, --mask and --strength, on the CPU backend. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { decodePng, encodePng, readRecipe } from 'calotype';
import { runProgram } from '../../cli/src/command.ts';
import { program } from '../../cli/src/program.ts';
import { fixturePath } from '../support/fixtures.ts';

let folder: string;
const errors: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-cli-'));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean(errors.push(String(text))));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** A picture whose pixels are grey, but white in the left part. */
async function writePicture(name: string, width: number, height: number, left: number): Promise<string> {
  const data = new Uint8ClampedArray(width * height * 4).map((_, i) =>
    i % 4 === 3 || (i / 4) % width < left ? 255 : 0,
  );
  const path = join(folder, name);
  await writeFile(path, await encodePng({ width, height, data }));
  return path;
}

it('paints into a picture and writes down how', async () => {
  const image = await writePicture('image.png', 90, 70, 10);
  const mask = await writePicture('mask.png', 64, 64, 32);
  const output = join(folder, 'out.png');
  const model = ['--model', fixturePath('pipelines/tiny-sd'), '--backend', 'cpu'];
  const files = ['-o', output, '--image', image, '--mask', mask];
  const settings = ['--steps', '4', '--strength', '0.5', '--size', '64x72', '--seed', '3'];
  const code = await runProgram(program, ['generate', 'fox', ...files, ...model, ...settings]);
  expect(code, errors.join('')).toBe(0);
  const { image: picture, text } = decodePng(await readFile(output));
  expect(picture).toMatchObject({ width: 64, height: 72 });
  expect(readRecipe(text)).toMatchObject({ strength: 0.5, image, maskImage: mask, width: 64, height: 72 });
  expect(text.get('parameters')).toContain('Denoising strength: 0.5');
});

it('hands over to a refiner and writes down where', async () => {
  const output = join(folder, 'refined.png');
  const refiner = join(folder, 'refiner');
  for (const part of ['tiny-sdxl', 'tiny-refiner'])
    await cp(fixturePath(`pipelines/${part}`), refiner, { recursive: true });
  const models = ['--model', fixturePath('pipelines/tiny-sdxl'), '--refiner', refiner, '--backend', 'cpu'];
  const settings = ['--steps', '4', '--refiner-start', '0.5', '--size', '64x64', '--seed', '3'];
  const code = await runProgram(program, ['generate', 'fox', '-o', output, ...models, ...settings]);
  expect(code, errors.join('')).toBe(0);
  const { image: picture, text } = decodePng(await readFile(output));
  expect(picture).toMatchObject({ width: 64, height: 64 });
  expect(readRecipe(text)).toMatchObject({ refiner, refinerStart: 0.5, numInferenceSteps: 4, seed: 3 });
});

it('refuses a file that is no PNG before loading anything', async () => {
  const image = join(folder, 'image.png');
  await writeFile(image, 'GIF89a');
  expect(await runProgram(program, ['generate', 'fox', '--image', image, '--model', 'no/model'])).not.toBe(0);
  expect(errors.join('')).toContain('image.png');
});
