/** @file ControlNets against diffusers: same pictures, same seed, same latents; and what is refused. */

import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  DiffusionPipeline,
  NotFoundError,
  OptionError,
  type CallOptions,
} from '../../src/index.ts';
import { presentBackends } from '../support/backends.ts';
import { controlCases, controlInputs, controlNetwork, openControlled } from '../support/drawn/control.ts';
import { testCases } from '../support/drawn/test-drawn.ts';
import { fixturePath } from '../support/fixtures.ts';
import type { NamedNetwork } from '../support/named-networks.ts';
import { arrayOf, pictureOf } from '../support/pictures.ts';

/** The slow backends run what differs in the graph or the tables; the CPU runs all. */
const SLOW: Readonly<Record<string, RegExp>> = {
  reference: /^(start-end|two-nets|pooled|xl-two-nets)$/,
  webgpu: /^(pooled|xl-text)$/,
};

const backends = await presentBackends();

testCases(backends, controlCases, (backend, name) => SLOW[backend]?.test(name) ?? true);

it('nets without a picture take no part in a call', async () => {
  const { factory } = backends.find(({ name }) => name === 'cpu')!;
  const setup = { factory, dtype: 'f32' } as const;
  const controlImage = pictureOf(controlInputs, 'p.square');
  const call = { prompt: 'fox', height: 64, width: 64, numInferenceSteps: 2, seed: 3 };
  const [canny, shuffle] = ['canny', 'shuffle'].map(controlNetwork);
  const draw = async (nets: NamedNetwork[], ...calls: CallOptions[]) => {
    const pipe = await openControlled('sd', nets, setup);
    const drawn = [];
    for (const options of calls) drawn.push((await pipe({ ...call, ...options })).images[0].data);
    await pipe.dispose();
    return drawn;
  };
  const [first, second, none] = await draw(
    [canny, shuffle],
    { controlImage: [controlImage, null], controlnetConditioningScale: [0.7, 9] },
    { controlImage: [null, controlImage], controlnetConditioningScale: [9, 0.7] },
    { controlImage: [null, null] },
  );
  const alone = { controlImage, controlnetConditioningScale: 0.7 };
  expect([first]).toEqual(await draw([canny], alone));
  expect([second]).toEqual(await draw([shuffle], alone));
  expect([none]).toEqual(await draw([], {}));
  expect(first).not.toEqual(second);
});

describe('what does not fit', async () => {
  const { factory } = backends.find(({ name }) => name === 'cpu')!;
  const setup = { factory, dtype: 'f32' } as const;
  const picture = pictureOf(controlInputs, 'p.square');
  const prompt = 'fox';

  it.each<[problem: string, options: CallOptions, field: RegExp]>([
    ['scales without a picture', { guessMode: true }, /controlImage.*guessMode was given/],
    [
      'two pictures in a list of lists',
      { controlImage: [[picture], [picture]] },
      /controlImage.*2 entries for 1/,
    ],
    [
      'pictures for other prompts',
      { controlImage: [picture, picture, picture] },
      /controlImage.*3 of them for 1/,
    ],
    [
      'an array of other channels',
      { controlImage: arrayOf(controlInputs, 'a.masks', true) },
      /controlImage.*shape/,
    ],
    [
      'a list of scales that is too long',
      { controlImage: picture, controlnetConditioningScale: [1, 1] },
      /Scale/,
    ],
    ['a scale that is no number', { controlImage: picture, controlnetConditioningScale: NaN }, /Scale/],
    [
      'an end before the start',
      { controlImage: picture, controlGuidanceStart: 0.5, controlGuidanceEnd: 0.5 },
      /controlGuidanceStart/,
    ],
    ['an end after the last step', { controlImage: picture, controlGuidanceEnd: 1.5 }, /controlGuidance/],
  ])('refuses %s', async (_problem, options, message) => {
    const pipe = await openControlled('sd', [controlNetwork('canny')], setup);
    const call = pipe({ prompt, height: 64, width: 64, numInferenceSteps: 1, ...options });
    await expect(call).rejects.toThrow(OptionError);
    await expect(call).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuses a control picture without a ControlNet', async () => {
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [factory],
    });
    await expect(pipe({ prompt, controlImage: picture })).rejects.toThrow(/loaded without a ControlNet/);
    await pipe.dispose();
  });

  const changed = (name: string, config: Record<string, unknown>): NamedNetwork => ({
    ...controlNetwork(name),
    config: { ...controlNetwork(name).config, ...config },
  });
  it.each<[problem: string, net: NamedNetwork, message: RegExp]>([
    ['another text width', controlNetwork('depth-xl'), /block_out_channels/],
    ['another class', changed('canny', { _class_name: 'T2IAdapter' }), /_class_name/],
    [
      'an unknown order of channels',
      changed('canny', { controlnet_conditioning_channel_order: 'gbr' }),
      /gbr/,
    ],
    ['other latents', changed('canny', { in_channels: 8 }), /in_channels/],
    [
      'pictures of another size',
      {
        ...changed('canny', { conditioning_embedding_out_channels: [4, 4, 6] }),
        shapes: {
          ...controlNetwork('canny').shapes,
          'controlnet_cond_embedding.conv_out.weight': [8, 6, 3, 3],
        },
      },
      /conditioning_embedding_out_channels.*4 pixels/,
    ],
    ['no middle', changed('canny', { mid_block_type: null }), /mid_block_type/],
    ['class embeddings', changed('canny', { num_class_embeds: 7 }), /num_class_embeds/],
    ['heads that do not divide', changed('canny', { attention_head_dim: [3, 3] }), /attention_head_dim/],
  ])('refuses a net with %s', async (_problem, net, message) => {
    const loading = openControlled('sd', [net], setup);
    await expect(loading).rejects.toThrow(message);
  });

  it('refuses a net whose tensors have other shapes', async () => {
    const wide = changed('canny', { conditioning_embedding_out_channels: [4, 4, 6, 10] });
    await expect(openControlled('sd', [wide], setup)).rejects.toThrow(/controlnet_cond_embedding/);
    await expect(openControlled('sd', [wide], setup)).rejects.not.toThrow(ConfigError);
  });

  it('refuses a folder without a net', async () => {
    const loading = DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [factory],
      controlnet: fixturePath('pipelines/tiny-sd'),
    });
    await expect(loading).rejects.toThrow(NotFoundError);
  });
});
