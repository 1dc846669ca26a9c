/** @file Textual inversion against diffusers: files of every form, in prompts of every kind, and what is refused. */

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  blobSource,
  cpu,
  DiffusionPipeline,
  FileFormatError,
  NotFoundError,
  OptionError,
  reference,
  type Backend,
} from '../../src/index.ts';
import { inversionCases, inversionFile, inversions } from '../support/drawn/inversions.ts';
import { fixturePath } from '../support/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import '../support/nmse.ts';

const file = inversionFile;
const load = (model: string, backends = [reference()]) =>
  DiffusionPipeline.fromPretrained(fixturePath(`pipelines/${model}`), { backends, dtype: 'f32' });

const backends = (await presentBackends()).flatMap(({ name, factory }) =>
  // Compiling two encoders and a grown table takes the software adapter long; one model shows that tables grow.
  Object.keys(inversions).flatMap((model) =>
    name === 'webgpu' && model !== 'tiny-sd' ? [] : [{ name, factory, model }],
  ),
);

it.each(backends)(
  '$model reads learned words as diffusers does, on $name',
  async ({ factory, model }) => {
    const own = inversionCases.names.filter((name) => name.startsWith(`${model}.`));
    const pipe = await inversionCases.open(own[0], { factory, dtype: 'f32' });
    for (const name of own) {
      const { data } = await inversionCases.draw(pipe, name);
      expect(data, name).toMatchNmse(inversionCases.expected(name).data, 1e-9);
    }
    await pipe.dispose();
  },
  240_000,
);

describe('learned words', () => {
  let backend: Backend;
  let pipe: DiffusionPipeline;
  beforeAll(async () => {
    const opened = await cpu({ threads: 1 }).open();
    if ('reason' in opened) throw new Error(opened.reason);
    backend = opened;
    pipe = await load('tiny-sd', [{ name: 'spied', open: () => Promise.resolve(backend) }]);
  });
  afterAll(() => pipe.dispose());
  const embed = async (prompt: string, promptSyntax: 'plain' | 'webui' = 'plain') =>
    (await pipe.encodePrompt({ prompt, promptSyntax })).promptEmbeds.data;

  it('come and go, and memory with them', async () => {
    const createWeights = vi.spyOn(backend, 'createWeights');
    const before = await embed('a <cat>');
    expect(await pipe.loadTextualInversion(file('cat'))).toEqual(['<cat>']);
    expect(await pipe.loadTextualInversion(file('a1111'), { token: 'many' })).toEqual(['many']);
    const both = await embed('a <cat> many');
    expect(await embed('a <cat>')).not.toEqual(before);
    await pipe.unloadTextualInversion('many');
    await pipe.loadTextualInversion(file('a1111'), { token: 'lots' });
    expect(await embed('a <cat> lots')).toEqual(both);
    await pipe.unloadTextualInversion();
    expect(await embed('a <cat>')).toEqual(before);
    expect(createWeights).not.toHaveBeenCalled();
  });

  it('have all their vectors in webui syntax, whatever their case, and keep them in one chunk', async () => {
    await pipe.loadTextualInversion(file('capital'));
    const names = '<Big> <Big>_1 <Big>_2';
    expect(await embed('a <BIG>', 'webui')).toEqual(await embed(`a ${names}`));
    const letters = 'abcdefghijklmnopqrstuvwxyz'.repeat(3).slice(0, 73).split('').join(' ');
    expect(await embed(`${letters} <Big>`, 'webui')).toEqual(await embed(`${letters} BREAK <Big>`, 'webui'));
    await pipe.unloadTextualInversion(['<Big>']);
  });

  it('may be one for each vector', async () => {
    await pipe.loadTextualInversion(file('half'), { token: ['<x>', '<y>'] });
    const swapped = await embed('<y> <x>');
    await pipe.unloadTextualInversion();
    await pipe.loadTextualInversion(file('half'), { token: '<z>' });
    expect(await embed('<z>_1 fox')).not.toEqual(swapped);
    expect((await embed('<z>')).subarray(0, 72)).not.toEqual(swapped.subarray(0, 72));
    await pipe.unloadTextualInversion();
  });

  it('that are known already are refused, and nothing changes', async () => {
    await pipe.loadTextualInversion(file('half'), { token: '<x>' });
    for (const token of ['<x>', '<x>_1', 'a</w>', '<|endoftext|>'])
      await expect(pipe.loadTextualInversion(file('cat'), { token })).rejects.toThrow(/knows ".*" already/);
    await pipe.loadTextualInversion(file('cat'), { token: '<y>_1' });
    await expect(pipe.loadTextualInversion(file('cat'), { token: '<y>' })).rejects.toThrow(/"<y>_1" already/);
    await expect(pipe.unloadTextualInversion('<z>')).rejects.toThrow(
      /no textual inversion of "<z>". There are <x>/,
    );
    await pipe.unloadTextualInversion();
    await expect(pipe.unloadTextualInversion('<x>')).rejects.toThrow(/None was loaded/);
  });

  it.each<[string, string, object, new (...args: never[]) => Error, RegExp]>([
    ['a nameless file', 'a1111', {}, OptionError, /Name it: token/],
    ['an empty word', 'cat', { token: ' ' }, OptionError, /Name it/],
    ['words without vectors', 'half', { token: ['a1', 'b1', 'c1'] }, OptionError, /3 words for 2 vectors/],
    ['a word twice', 'half', { token: ['a1', 'a1'] }, OptionError, /named twice/],
    ['another width', 'birb', {}, FileFormatError, /vectors of 768 numbers, the text encoder of 24/],
    ['SDXL', 'xl', { token: '<s>' }, FileFormatError, /two text encoders of SDXL/],
    ['another encoder', 'cat', { textEncoder: 'text_encoder_2' }, OptionError, /no text_encoder_2/],
    ['an unknown option', 'cat', { tokens: 'x' }, OptionError, /Did you mean token\?/],
    ['no file', 'dog', {}, NotFoundError, /dog\.safetensors/],
  ])('%s is refused', async (_name, name, options, type, message) => {
    const loading = pipe.loadTextualInversion(file(name), options);
    await expect(loading).rejects.toBeInstanceOf(type);
    await expect(loading).rejects.toThrow(message);
  });

  it.each<[string, Record<string, { shape: number[] }>, RegExp]>([
    ['several tensors', { a: { shape: [24] }, b: { shape: [24] } }, /holds 2 tensors/],
    ['no tensor', {}, /holds 0 tensors/],
    ['a picture', { a: { shape: [1, 2, 24] } }, /shape \[1, 2, 24\]/],
    ['a number', { a: { shape: [] } }, /shape \[\]/],
    ['no vectors', { a: { shape: [0, 24] } }, /shape \[0, 24\]/],
    ['too many vectors', { a: { shape: [1025, 24] } }, /shape \[1025, 24\]/],
  ])('%s is no textual inversion', async (_name, tensors, message) => {
    const source = blobSource('odd.safetensors', new Blob([makeSafetensors(tensors).slice()]));
    await expect(pipe.loadTextualInversion(source)).rejects.toThrow(message);
  });

  it('in a pickle are refused with the line that converts it', async () => {
    const pickle = fixturePath('text/inversions/birb.bin');
    const loading = pipe.loadTextualInversion(pickle);
    await expect(loading).rejects.toBeInstanceOf(FileFormatError);
    await expect(loading).rejects.toThrow(/python -c "import torch.*'birb\.safetensors'\)"/);
    const folder = {
      name: 'repository',
      exists: (path: string) => Promise.resolve(path === 'learned_embeds.bin'),
      open: () => Promise.resolve(undefined),
      list: () => Promise.resolve(undefined),
    };
    await expect(pipe.loadTextualInversion(folder)).rejects.toThrow(/'learned_embeds\.safetensors'/);
  });
});
