/** @file What a worker has beside its model: LoRAs, learned words, ControlNets, a budget; and what it tells of prompts and files. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as v from 'valibot';
import { FileFormatError, OptionError, OutOfMemoryError } from '../../src/errors.ts';
import { cpu, DiffusionPipeline } from '../../src/index.ts';
import { Additions } from '../../src/worker/additions.ts';
import { fixturePath, readFixtureJson } from '../support/fixtures.ts';
import { NETWORK_WEIGHTS, networkFiles, networkSchema } from '../support/named-networks.ts';
import { openWorker, pickedFile, pickedFolder } from '../support/worker.ts';

const MODEL = fixturePath('pipelines/tiny-sd');
const LORA = fixturePath('lora/peft.safetensors');
const OTHER = fixturePath('lora/loha.safetensors');
const WORD = fixturePath('text/inversions/cat.safetensors');
const OPTIONS = { prompt: 'a <cat> fox', numInferenceSteps: 2, height: 32, width: 32, seed: 5 };

const { worker, close } = openWorker();
const picked = async (name: string, path: string) => ({ name, file: await pickedFile(path) });
beforeAll(async () => {
  await worker.load(await pickedFolder(MODEL), { backends: ['cpu'] });
});
afterAll(close);

const drawn = async (options = {}) => (await worker.draw({ ...OPTIONS, ...options })).images[0].data;

test('LoRAs and learned words are those that the library loads', async () => {
  const plain = await drawn();
  const notices = await worker.loadLoraWeights(await picked('peft.safetensors', LORA), {
    adapterName: 'one',
  });
  expect(notices).toEqual([]);
  await worker.loadLoraWeights(await picked('loha.safetensors', OTHER), { adapterName: 'two' });
  await worker.setAdapters(['one', 'two'], [0.5, 0.75]);
  expect(await worker.loadTextualInversion(await picked('cat.safetensors', WORD))).toEqual(['<cat>']);
  const output = await worker.draw(OPTIONS);
  expect(output.adapters).toEqual([
    { name: 'one', source: 'peft.safetensors', weight: 0.5 },
    { name: 'two', source: 'loha.safetensors', weight: 0.75 },
  ]);

  const pipe = await DiffusionPipeline.fromPretrained(MODEL, { backends: [cpu()] });
  await pipe.loadLoraWeights(LORA, { adapterName: 'one' });
  await pipe.loadLoraWeights(OTHER, { adapterName: 'two' });
  await pipe.setAdapters(['one', 'two'], [0.5, 0.75]);
  await pipe.loadTextualInversion(WORD);
  expect(output.images[0].data).toEqual((await pipe(OPTIONS)).images[0].data);
  await pipe.dispose();

  await worker.deleteAdapters(['one']);
  expect((await worker.draw(OPTIONS)).adapters.map(({ name }) => name)).toEqual(['two']);
  await worker.deleteAdapters(['two']);
  await worker.unloadTextualInversion(['<cat>']);
  expect(await drawn()).toEqual(plain);
  await expect(worker.setAdapters(['one'], [1])).rejects.toThrow(OptionError);
});

test('a pipeline that is opened anew has them again, without those that were removed', async () => {
  const open = () => DiffusionPipeline.fromPretrained(MODEL, { backends: [cpu()] });
  const [first, second] = [await open(), await open()];
  const { signal } = new AbortController();
  const additions = new Additions();
  await additions.addAdapter(first, await picked('a', LORA), { adapterName: 'a' }, { signal });
  await additions.addAdapter(first, await picked('b', OTHER), { adapterName: 'b' }, { signal });
  await additions.addAdapter(first, await picked('c', LORA), { adapterName: 'c' }, { signal });
  await additions.setAdapters(first, ['a', 'b', 'c'], [0.2, 0.3, 0.4]);
  await additions.deleteAdapters(first, ['b']);
  await additions.addWords(first, await picked('cat', WORD), {}, { signal });
  const gone = fixturePath('text/inversions/half.safetensors');
  await additions.removeWords(
    first,
    await additions.addWords(first, await picked('half', gone), {}, { signal }),
  );
  await additions.restore(second, signal);
  const [before, after] = [await first(OPTIONS), await second(OPTIONS)];
  expect(after.adapters).toEqual(before.adapters);
  expect(after.adapters.map(({ name, weight }) => [name, weight])).toEqual([
    ['a', 0.2],
    ['c', 0.4],
  ]);
  expect(after.images).toEqual(before.images);
  await expect(second.unloadTextualInversion('<half>')).rejects.toThrow(OptionError);
  await Promise.all([first.dispose(), second.dispose()]);
});

test('prompts are counted, with their weights', async () => {
  await expect(worker.countTokens('')).resolves.toMatchObject({ tokens: 0, room: 75, chunks: 1 });
  const long = 'red '.repeat(80);
  const plain = await worker.countTokens(long);
  expect(plain.tokens).toBeGreaterThan(75);
  expect(plain).toMatchObject({ chunks: 1, weighted: [] });
  expect(plain.truncated).toMatch(/red$/);
  const weighed = await worker.countTokens('a (red:1.5) [apple] and (3D)', 'webui');
  expect(weighed.weighted.map(({ text, weight }) => [text, Number(weight.toFixed(3))])).toEqual([
    ['red', 1.5],
    ['apple', 0.909],
    ['3D', 1.1],
  ]);
  const chunked = await worker.countTokens(`${long} BREAK [a|${long} apple]`, 'webui');
  expect(chunked.truncated).toBeUndefined();
  expect(chunked.chunks).toBeGreaterThanOrEqual(3);
  expect(chunked.tokens).toBeGreaterThan(2 * plain.tokens);
  await expect(worker.countTokens('a AND b', 'webui')).rejects.toThrow(OptionError);
});

/** The files of a network of named weights, by their paths in a folder. */
async function blobsOf(name: string, folder = ''): Promise<[path: string, file: Blob][]> {
  const files = await networkFiles({ name, ...networks[name] });
  return Object.entries(files).map(([path, file]) => [`${folder}${path}`, new Blob([file])]);
}
const { networks } = readFixtureJson(
  'pipelines/control.json',
  v.looseObject({ networks: v.record(v.string(), networkSchema) }),
);

test('files are told apart by what is in them', async () => {
  const kind = async (path: string) => worker.fileKind(path, await pickedFile(fixturePath(path)));
  for (const lora of ['peft', 'kohya', 'loha', 'lokr', 'dora', 'diffusers', 'attention-processors'])
    expect(await kind(`lora/${lora}.safetensors`)).toBe('lora');
  for (const word of ['cat', 'a1111', 'xl'])
    expect(await kind(`text/inversions/${word}.safetensors`)).toBe('embedding');
  expect(await kind('pipelines/tiny-sd/unet/diffusion_pytorch_model.safetensors')).toBe('checkpoint');
  const net = new Map(await blobsOf('canny'));
  expect(await worker.fileKind('net', net.get(NETWORK_WEIGHTS) ?? new Blob([]))).toBe('controlnet');
  await expect(worker.fileKind('a.pt', new Blob(['no safetensors']))).rejects.toThrow(FileFormatError);
});

test('a ControlNet and a budget of memory are options of loading', async () => {
  const { name, files } = await pickedFolder(MODEL);
  const folder = { name, files: new Map([...files, ...(await blobsOf('sd', 'unet/'))]) };
  const net = { name: 'net', files: new Map(await blobsOf('canny')) };
  await worker.load(folder, { backends: ['cpu'], controlnet: [net], memory: { budget: '1GB' } });
  const controlImage = { width: 32, height: 32, data: new Uint8ClampedArray(32 * 32 * 4).fill(200) };
  const controlled = await drawn({ controlImage, controlnetConditioningScale: 0.7 });
  expect(controlled).not.toEqual(await drawn({ controlImage, controlnetConditioningScale: 0.2 }));
  // The layout of a file by itself is read off its tensors, which the model beside it must fit.
  const file = { name: 'net.safetensors', file: net.files.get(NETWORK_WEIGHTS) ?? new Blob([]) };
  await expect(worker.load(folder, { backends: ['cpu'], controlnet: [file] })).rejects.toThrow(
    /net\.safetensors: /,
  );
  await worker.load(folder, { backends: ['cpu'], memory: { budget: '1kB' } });
  await expect(worker.draw(OPTIONS)).rejects.toThrow(OutOfMemoryError);
});
