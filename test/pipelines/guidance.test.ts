/** @file IP-Adapters, perturbed-attention guidance, FreeU, hires fix and DeepCache against diffusers; and what is refused. */

import { describe, expect, it } from 'vitest';
import { FileFormatError, OptionError, type CallOptions } from '../../src/index.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { presentBackends } from '../support/backends.ts';
import {
  adapterFile,
  adapterFolder,
  guidanceCases,
  guidanceInputs,
  loadAdapters,
  openGuided,
} from '../support/drawn/guidance.ts';
import { testCases } from '../support/drawn/test-drawn.ts';
import { pictureOf } from '../support/pictures.ts';

/** The slow backends run what differs in the graph; the CPU runs all. */
const SLOW: Readonly<Record<string, RegExp>> = {
  reference: /^(ip-two|ip-masks|pag-rescale|freeu-odd|cache)$/,
  webgpu: /^(pag-ip|ip-mask-array|freeu|cache|hires-exact)$/,
};

const backends = await presentBackends();

testCases(backends, guidanceCases, (backend, name) => SLOW[backend]?.test(name) ?? true);

describe('IP-Adapters', async () => {
  const { factory } = backends.find(({ name }) => name === 'cpu')!;
  const setup = { factory, dtype: 'f32' } as const;
  const call = {
    prompt: 'fox',
    height: 64,
    width: 64,
    numInferenceSteps: 1,
    seed: 1,
    outputType: 'latent',
  } as const;
  const picture = pictureOf(guidanceInputs, 'p.square');

  it('take no part in calls that have no picture for them', async () => {
    const options = { ...call, height: 32, width: 32, guidanceScale: 3 };
    const draw = async (names: string[], ...pictures: CallOptions['ipAdapterImage'][]) => {
      const pipe = await openGuided('sd', [], setup);
      if (names.length > 0) await loadAdapters(pipe, names);
      const drawn = [];
      for (const ipAdapterImage of pictures)
        drawn.push((await pipe({ ...options, ...(ipAdapterImage && { ipAdapterImage }) })).latents?.data);
      await pipe.dispose();
      return drawn;
    };
    const both = ['ip-plus', 'ip-image'];
    const drawn = await draw(both, [picture, null], [null, picture], [null, null]);
    expect(drawn.slice(0, 1)).toEqual(await draw(['ip-plus'], [picture]));
    expect(drawn.slice(1, 2)).toEqual(await draw(['ip-image'], [picture]));
    expect(drawn.slice(2)).toEqual(await draw([], undefined));
    expect(drawn[0]).not.toEqual(drawn[1]);
  });

  it('leave no trace when they are unloaded, and are replaced by others', async () => {
    const pipe = await openGuided('sd', [], setup);
    const before = await pipe(call);
    await loadAdapters(pipe, ['ip-plus']);
    await expect(pipe(call)).rejects.toThrow(/ipAdapterImage.*has no picture/);
    const first = await pipe({ ...call, ipAdapterImage: picture });
    await loadAdapters(pipe, ['ip-image']);
    const second = await pipe({ ...call, ipAdapterImage: picture });
    pipe.setIpAdapterScale(0);
    const none = await pipe({ ...call, ipAdapterImage: picture });
    await pipe.unloadIpAdapter();
    const after = await pipe(call);
    expect(after.latents!.data).toEqual(before.latents!.data);
    expect(none.latents!.data).toEqual(before.latents!.data);
    expect(first.latents!.data).not.toEqual(before.latents!.data);
    expect(second.latents!.data).not.toEqual(first.latents!.data);
    await pipe.dispose();
  });

  it.each<[problem: string, options: CallOptions, message: RegExp]>([
    ['two pictures without a list in the list', { ipAdapterImage: [picture, picture] }, /2 entries for 1/],
    ['no picture at all', { ipAdapterImage: [] }, /0 entries for 1/],
    [
      'embeddings of another width',
      { ipAdapterImageEmbeds: [{ shape: [2, 1, 7], data: new Float32Array(14) }] },
      /ipAdapterImageEmbeds.*\[2, 1, 7\]/,
    ],
    [
      'embeddings for another guidance',
      { ipAdapterImageEmbeds: [{ shape: [1, 1, 20], data: new Float32Array(20) }] },
      /1 in place of 2/,
    ],
    [
      'both',
      { ipAdapterImage: picture, ipAdapterImageEmbeds: [{ shape: [2, 1, 20], data: new Float32Array(40) }] },
      /together/,
    ],
    ['masks without a list', { ipAdapterImage: picture, ipAdapterMasks: [] }, /0 entries for 1/],
    [
      'masks for other pictures',
      { ipAdapterImage: picture, ipAdapterMasks: [[picture, picture]] },
      /ipAdapterMasks.*2 masks for 1/,
    ],
    [
      'masks of another shape',
      { ipAdapterImage: picture, ipAdapterMasks: [{ shape: [4, 4], data: new Float32Array(16) }] },
      /ipAdapterMasks.*\[4, 4\]/,
    ],
    [
      'masks that are no numbers',
      { ipAdapterImage: picture, ipAdapterMasks: [{ shape: [1, 1, 1, 1], data: Float32Array.of(NaN) }] },
      /ipAdapterMasks.*finite/,
    ],
    [
      'a picture of one row',
      { ipAdapterImage: { width: 100, height: 1, data: new Uint8ClampedArray(400) } },
      /100x1/,
    ],
  ])('refuse %s', async (_problem, options, message) => {
    const pipe = await openGuided('sd', [], setup);
    await loadAdapters(pipe, ['ip-image']);
    const drawing = pipe({ ...call, ...options });
    await expect(drawing).rejects.toThrow(OptionError);
    await expect(drawing).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuse scales of blocks that there are not, and pictures without an adapter', async () => {
    const pipe = await openGuided('sd', [], setup);
    await expect(pipe({ ...call, ipAdapterImage: picture })).rejects.toThrow(/no IP-Adapter is loaded/);
    await loadAdapters(pipe, ['ip-image']);
    expect(() => pipe.setIpAdapterScale([1, 1])).toThrow(/2 scales for 1/);
    expect(() => pipe.setIpAdapterScale({ up: { block_0: 1 } })).toThrow(/scale\.up\.block_0/);
    await pipe.dispose();
  });

  it.each<[problem: string, changed: Readonly<Record<string, readonly number[] | null>>, message: RegExp]>([
    ['another text width', { 'image_proj.proj.weight': [4 * 32, 20] }, /tokens of 32 numbers/],
    ['a tensor missing', { 'ip_adapter.5.to_k_ip.weight': null }, /ip_adapter\.5\.to_k_ip/],
    [
      'more attentions',
      { 'ip_adapter.99.to_k_ip.weight': [8, 24] },
      /attention that the model does not have/,
    ],
    ['another width', { 'ip_adapter.1.to_v_ip.weight': [9, 24] }, /ip_adapter\.1\.to_v_ip/],
    [
      'embeddings of faces',
      { 'image_proj.proj.weight': null, 'image_proj.proj.0.weight': [40, 20] },
      /FaceID/,
    ],
    ['a projection of other axes', { 'image_proj.proj.weight': [96, 20, 1] }, /image_proj\.proj\.weight/],
  ])('refuse a file with %s', async (_problem, changed, message) => {
    const pipe = await openGuided('sd', [], setup);
    const file = await adapterFile('ip-image', changed);
    await expect(pipe.loadIpAdapter(bufferSource('x.safetensors', file))).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuse pickles with what converts them, LoRAs, and folders of several', async () => {
    const pipe = await openGuided('sd', [], setup);
    const pickle = bufferSource('ip-adapter.bin', Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0x2e, 0, 0));
    await expect(pipe.loadIpAdapter(pickle)).rejects.toThrow(/ip-adapter\.safetensors/);
    const lora = makeSafetensors({ 'lora_unet_mid.lora_up.weight': { shape: [1] } });
    await expect(pipe.loadIpAdapter(bufferSource('l', lora))).rejects.toThrow(FileFormatError);
    const folder = adapterFolder({ 'models/a.safetensors': lora });
    await expect(pipe.loadIpAdapter(folder, { subfolder: 'models' })).rejects.toThrow(/a\.safetensors/);
    await pipe.dispose();
  });

  it('given as files need the place of the image encoder', async () => {
    const pipe = await openGuided('sd', [], setup);
    await pipe.loadIpAdapter(bufferSource('x', await adapterFile('ip-image')));
    await expect(pipe({ ...call, ipAdapterImage: picture })).rejects.toThrow(/without its image encoder/);
    await pipe.dispose();
  });
});

describe('perturbed-attention guidance', () => {
  it.each<[problem: string, layers: string | string[], message: RegExp]>([
    ['names of no layer', ['mid', 'left'], /"left" is no self-attention/],
    ['broken expressions', '(', /not a regular expression/],
  ])('refuses %s', async (_problem, pagAppliedLayers, message) => {
    const { factory } = backends.find(({ name }) => name === 'cpu')!;
    const setup = { factory, dtype: 'f32' } as const;
    const pipe = await openGuided('sd', [], setup);
    await expect(pipe({ prompt: 'fox', pagScale: 3, pagAppliedLayers })).rejects.toThrow(message);
    await pipe.dispose();
  });
});
