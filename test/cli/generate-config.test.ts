/** @file `calotype generate --config`: a picture's recipe draws it again, bit for bit. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { decodePng, encodePng, schedulerOfSampler } from 'calotype';
import { runProgram } from '../../cli/src/command.ts';
import { program } from '../../cli/src/program.ts';
import { fixturePath } from '../support/fixtures.ts';

let folder: string;
let errors: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-cli-'));
  errors = '';
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((errors += String(text))));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const at = (name: string): string => join(folder, name);
async function generate(output: string, ...args: string[]): Promise<Buffer> {
  const code = await runProgram(program, ['generate', ...args, '-o', at(output), '--backend', 'cpu']);
  expect(code, errors).toBe(0);
  return readFile(at(output));
}

it('draws a picture again from the picture and from its recipe, and others from parts of it', async () => {
  const model = [
    '--model',
    fixturePath('pipelines/tiny-sd'),
    '--dtype',
    'f32',
    '--scheduler',
    'dpm++-karras',
    '--vae-upcast',
    'overflow',
  ];
  const texts = [
    'a (fox:1.3) [many|few]',
    '--negative',
    '-blurry',
    '--prompt-syntax',
    'webui',
    '--clip-skip',
    '1',
  ];
  const embedding = ['--embedding', `${fixturePath('text/inversions/a1111.safetensors')}:many`];
  const lora = ['--lora', `${fixturePath('lora/kohya.safetensors')}:0.5`];
  const numbers = ['--steps', '3', '--size', '64x72', '--guidance', '4.5', '--guidance-rescale', '0.7'];
  const first = await generate('first.png', ...texts, ...model, ...embedding, ...lora, ...numbers);
  expect(await generate('again.png', '--config', at('first.png'))).toEqual(first);

  await writeFile(at('recipe.json'), decodePng(first).text.get('calotype') ?? '');
  expect(await generate('recipe.png', '--config', at('recipe.json'))).toEqual(first);
  expect(decodePng(first).text.get('calotype')).toContain('"vaeUpcast":"overflow"');
  const other = await generate('other.png', '--config', at('first.png'), '--clip-skip', '0');
  expect(decodePng(other).image.data).not.toEqual(decodePng(first).image.data);
  expect(decodePng(other).text.get('calotype')).toContain('"clipSkip":0');
  const weaker = await generate('weaker.png', '--config', at('first.png'), '--lora', `${lora[1]}1`);
  expect(decodePng(weaker).image.data).not.toEqual(decodePng(first).image.data);
}, 120_000);

it('reads pictures of stable-diffusion-webui, with what it cannot do', async () => {
  const parameters =
    'a (fox:1.2)\nNegative prompt: x\n' +
    'Steps: 3, Sampler: Euler a, CFG scale: 5, Seed: 7, Size: 64x64, Model: dream, Clip skip: 2, ENSD: 31337';
  const data = new Uint8ClampedArray(64 * 64 * 4);
  await writeFile(
    at('webui.png'),
    await encodePng({ width: 64, height: 64, data }, { text: { parameters } }),
  );
  expect(await runProgram(program, ['generate', '--config', at('webui.png'), '-o', at('x.png')])).toBe(2);
  expect(errors).toContain('does not say where the model is');
  errors = '';
  const args = ['--config', at('webui.png'), '--model', fixturePath('pipelines/tiny-sd')];
  const recipe = decodePng(await generate('out.png', ...args)).text.get('calotype') ?? '';
  expect(JSON.parse(recipe)).toMatchObject({
    prompt: 'a (fox:1.2)',
    negativePrompt: 'x',
    promptSyntax: 'webui',
    clipSkip: 1,
    seed: 7,
    numInferenceSteps: 3,
    guidanceScale: 5,
    sampler: 'euler-ancestral',
  });
  expect(errors).toContain('not used: ENSD: 31337');
  expect(errors).toContain('called "dream"');
}, 120_000);

it.each<[string, string, RegExp]>([
  ['none.json', '', /cannot be read/],
  ['broken.json', '{"calotype": ', /broken\.json/],
  ['partial.json', '{"calotype": "1", "model": "m"}', /prompt/],
])('refuses %s', async (name, content, message) => {
  if (content !== '') await writeFile(at(name), content);
  expect(await runProgram(program, ['generate', '--config', at(name), '-o', at('x.png')])).not.toBe(0);
  expect(errors).toMatch(message);
});

it('refuses a picture that tells nothing', async () => {
  await writeFile(at('bare.png'), await encodePng({ width: 1, height: 1, data: new Uint8ClampedArray(4) }));
  expect(await runProgram(program, ['generate', '--config', at('bare.png'), '-o', at('x.png')])).toBe(2);
  expect(errors).toContain('does not tell how it was made');
});

it("knows sd-webui's samplers, and no others", () => {
  expect(schedulerOfSampler('Euler a', undefined)).toBe('euler-ancestral');
  expect(schedulerOfSampler('DPM++ 2M Karras', undefined)).toBe('dpm++-karras');
  expect(schedulerOfSampler('DPM++ 2M', 'Automatic')).toBe('dpm++-karras');
  expect(schedulerOfSampler('DPM++ 2M SDE', 'Karras')).toBe('dpm++-sde-karras');
  expect(schedulerOfSampler('Euler', 'Automatic')).toBe('euler');
  for (const [name, type] of [['Restart'], ['Euler', 'Exponential'], ['DDIM', 'Karras'], ['undefined']])
    expect(() => schedulerOfSampler(name, type)).toThrow(/has no equal here/);
});
