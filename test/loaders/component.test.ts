/** @file Finding a component's weights by their names: variants, shards, and what to say when they are not there. */
import { describe, expect, test } from 'vitest';
import { ConfigError, FileFormatError, NotFoundError } from '../../src/errors.ts';
import { openWeights } from '../../src/loaders/component.ts';
import { blobModelSource, type ModelSource } from '../../src/loaders/model-source.ts';
import { openShardedWeights } from '../../src/loaders/sharded-weights.ts';
import { makeSafetensors } from './make-safetensors.ts';

const one = (name: string) => new Uint8Array(makeSafetensors({ [name]: { shape: [2] } }));

/** A model of these files; `blind` is one whose folders cannot be listed, as on a plain HTTP server. */
function model(
  files: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>>,
  blind = false,
): ModelSource {
  const source = blobModelSource(
    'm',
    new Map(Object.entries(files).map(([path, data]) => [path, new Blob([data])])),
  );
  return blind ? { ...source, list: async () => Promise.resolve(undefined) } : source;
}

const index = (map: object) => JSON.stringify({ metadata: { total_size: 16 }, weight_map: map });

describe('one file', () => {
  test.each([
    ['unet/diffusion_pytorch_model.safetensors', undefined],
    ['unet/diffusion_pytorch_model.fp16.safetensors', 'fp16'],
    ['unet/model.safetensors', undefined],
    ['unet/model.non_ema.safetensors', 'non_ema'],
  ])('%s as variant %s', async (path, variant) => {
    const weights = await openWeights(
      model({ [path]: one('t') }),
      'unet',
      variant === undefined ? {} : { variant },
    );
    expect([...weights.names()]).toEqual(['t']);
    expect(weights.info('t').file).toBe(`m/${path}`);
  });

  test('in the folder of the model itself', async () => {
    expect((await openWeights(model({ 'model.safetensors': one('t') }), '')).has('t')).toBe(true);
  });

  test('a pickle that is called safetensors', async () => {
    const source = model({ 'unet/model.safetensors': 'PK\x03\x04'.padEnd(100, '\0') });
    await expect(openWeights(source, 'unet')).rejects.toThrow(
      /m\/unet\/model\.safetensors: is no safetensors file but a zip/,
    );
  });
});

describe.each([
  ['diffusion_pytorch_model.safetensors.index.json', undefined],
  ['diffusion_pytorch_model.safetensors.index.fp16.json', 'fp16'],
  ['model.fp16.safetensors.index.json', 'fp16'],
])('shards under %s', (name, variant) => {
  test('every tensor from its own file', async () => {
    const source = model({
      [`unet/${name}`]: index({ a: 's-00001-of-00002.safetensors', b: 's-00002-of-00002.safetensors' }),
      'unet/s-00001-of-00002.safetensors': one('a'),
      'unet/s-00002-of-00002.safetensors': one('b'),
    });
    const weights = await openWeights(source, 'unet', variant === undefined ? {} : { variant });
    expect([...weights.names()]).toEqual(['a', 'b']);
    expect(weights.info('b').file).toBe('m/unet/s-00002-of-00002.safetensors');
    expect((await weights.read('b')).length).toBe(8);
    const pieces: number[] = [];
    for await (const piece of weights.readChunks('a', 4)) pieces.push(piece.length);
    expect(pieces).toEqual([4, 4]);
    expect(() => weights.info('c')).toThrow(NotFoundError);
    await weights.close();
  });
});

describe('bad indexes', () => {
  const open = async (files: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>>) =>
    openShardedWeights(model(files), 'u/i.json');

  test('a shard that is not there is named', async () => {
    await expect(open({ 'u/i.json': index({ a: 'x.safetensors' }) })).rejects.toThrow(
      'm: u/x.safetensors: this shard is not there. Get it too: m/u/i.json needs it',
    );
  });

  test('a tensor that is not in its shard is named', async () => {
    const files = {
      'u/i.json': index({ a: 'x.safetensors', b: 'x.safetensors' }),
      'u/x.safetensors': one('a'),
    };
    const failed = open(files);
    await expect(failed).rejects.toThrow(
      'm/u/i.json: b: is mapped to x.safetensors, but is not in that file',
    );
    await expect(failed).rejects.toThrow(FileFormatError);
  });

  test.each(['../x.safetensors', '/etc/x.safetensors', 'sub/x.safetensors', 'C:\\x', '..', ''])(
    'the shard name %j is refused',
    async (shard) => {
      await expect(open({ 'u/i.json': index({ a: shard }) })).rejects.toThrow(
        /is no plain file name\. Shards must lie beside/,
      );
    },
  );

  test('JSON that is no index', async () => {
    await expect(open({ 'u/i.json': '{"weight_map": {"a": 1}}' })).rejects.toThrow(ConfigError);
    await expect(open({ 'u/i.json': '{"weight_map": {"a": 1}}' })).rejects.toThrow(
      /u\/i\.json: weight_map\.a: /,
    );
    await expect(open({ 'u/i.json': '[]' })).rejects.toThrow(/expected a JSON object/);
    await expect(open({ 'u/i.json': '{' })).rejects.toThrow(/broken JSON/);
  });

  test('all shards are closed again when one is bad', async () => {
    const source = model({
      'u/i.json': index({ a: 'x.safetensors', b: 'y.safetensors' }),
      'u/x.safetensors': one('a'),
      'u/y.safetensors': 'broken',
    });
    let opened = 0;
    const counting: ModelSource = {
      ...source,
      open: async (path) => {
        const file = await source.open(path);
        if (file === undefined) return undefined;
        opened++;
        return { ...file, close: async () => void (await Promise.resolve(opened--)) };
      },
    };
    await expect(openShardedWeights(counting, 'u/i.json')).rejects.toThrow(FileFormatError);
    expect(opened).toBe(0);
  });
});

describe.each([
  ['can be listed', false],
  ['cannot be listed', true],
])('nothing usable in a folder that %s', (_, blind) => {
  test('a variant that is missing', async () => {
    const source = model({ 'u/diffusion_pytorch_model.safetensors': one('a'), 'u/config.json': '{}' }, blind);
    const failed = openWeights(source, 'u', { variant: 'fp16' });
    await expect(failed).rejects.toThrow(NotFoundError);
    await expect(failed).rejects.toThrow(
      'm/u: there are no weights of the variant "fp16"; there are diffusion_pytorch_model.safetensors. Leave the option `variant` out',
    );
  });

  test('a variant that other components have, by which those without are taken', async () => {
    const files = {
      'model_index.json': JSON.stringify({ _class_name: 'P', u: ['diffusers', 'U'], v: ['diffusers', 'V'] }),
      'u/diffusion_pytorch_model.safetensors': one('a'),
      'v/diffusion_pytorch_model.fp16.safetensors': one('b'),
    };
    const notices: string[] = [];
    const options = { variant: 'fp16', onNotice: (notice: string) => notices.push(notice) };
    const weights = await openWeights(model(files, blind), 'u', options);
    expect([...weights.names()]).toEqual(['a']);
    expect(notices).toEqual(['u has no weights of the variant "fp16"; those without a variant are used']);
    const other = openWeights(model(files, blind), 'u', { variant: 'bf16' });
    await expect(other).rejects.toThrow('there are no weights of the variant "bf16"');
    await expect(openWeights(model(files, blind), 'w', options)).rejects.toThrow(NotFoundError);
  });

  test('only a variant', async () => {
    const source = model({ 'u/model.fp16.safetensors': one('a') }, blind);
    await expect(openWeights(source, 'u')).rejects.toThrow(
      /no weights without a variant; there are model\.fp16\.safetensors\. Name the variant/,
    );
  });

  test('only pickles', async () => {
    const source = model({ 'u/diffusion_pytorch_model.bin': 'x' }, blind);
    const failed = openWeights(source, 'u');
    await expect(failed).rejects.toThrow(FileFormatError);
    await expect(failed).rejects.toThrow(
      /only as diffusion_pytorch_model\.bin, which are Python pickles\. .*never opens them.*safe_serialization=True/,
    );
  });

  test('nothing at all', async () => {
    await expect(openWeights(model({}, blind), 'u')).rejects.toThrow(
      'm/u: there are no weights (looked for diffusion_pytorch_model.safetensors, model.safetensors)',
    );
  });

  test('a variant that is no word', async () => {
    await expect(openWeights(model({}, blind), 'u', { variant: '../x' })).rejects.toThrow(/no variant name/);
  });
});
