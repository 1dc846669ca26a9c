/** @file The option `controlnet`: ControlNets that are loaded with a model, and their place beside its UNet. */

import { ConfigError } from '../errors.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { ModelSource } from '../loaders/model-source.ts';
import { openSafetensors } from '../loaders/safetensors.ts';
import {
  controlNetFromFile,
  controlNetFromModel,
  type StandaloneControlNet,
} from '../loaders/single-file/standalone-controlnet.ts';
import { skipChannels } from '../models/blocks/unet-encoder.ts';
import { conditioningFactor } from '../models/controlnet.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { isWeightFile } from './vae-option.ts';

/** Finds ControlNets: files, folders, Hub ids, URLs or any ModelSources. */
export async function openControlNets(
  platform: Platform,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneControlNet[]> {
  const { controlnet = [] } = options;
  const sources: readonly (string | ModelSource)[] =
    typeof controlnet === 'string' || !isList(controlnet) ? [controlnet] : controlnet;
  const opened: StandaloneControlNet[] = [];
  try {
    for (const source of sources) opened.push(await openControlNet(platform, source, options, onNotice));
    return opened;
  } catch (error) {
    for (const { weights } of opened) await weights.close();
    throw error;
  }
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

async function openControlNet(
  platform: Platform,
  source: string | ModelSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneControlNet> {
  const { signal } = options;
  // `revision` and `variant` are those of the model.
  const { revision: _revision, variant: _variant, ...others } = options;
  if (typeof source !== 'string' || !isWeightFile(source)) {
    const model = typeof source === 'string' ? await platform.resolveModel(source, others, onNotice) : source;
    return controlNetFromModel(model, undefined, { onNotice, ...(signal && { signal }) });
  }
  const bytes = await platform.openFile(source, others, onNotice);
  try {
    return controlNetFromFile(await openSafetensors(bytes, signal));
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

/** A net as far as it must fit its model. */
type NetConfig = Pick<StandaloneControlNet, 'config' | 'file'>;

const FITTING = 'Use a ControlNet that was made for models of this kind';

/**
 * Throws ConfigError, naming the field, unless the net can control the UNet: the same levels and layers, the same text
 * and the same conditions.
 */
export function checkFitsUNet({ config, file }: NetConfig, unet: UNet2DConditionConfig): void {
  const expect = (field: string, net: unknown, model: unknown, what: string): void => {
    if (JSON.stringify(net) !== JSON.stringify(model))
      throw new ConfigError(
        `${what}: ${JSON.stringify(net)}, but the model's UNet has ${JSON.stringify(model)}`,
        {
          file,
          field,
          remedy: FITTING,
        },
      );
  };
  expect(
    'block_out_channels',
    skipChannels(config),
    skipChannels(unet),
    'it controls layers of other widths',
  );
  expect('cross_attention_dim', config.crossAttentionDim, unet.crossAttentionDim, 'it reads another text');
  expect('in_channels', config.inChannels, unet.outChannels, 'it reads other latents');
  if (config.additionEmbed !== null)
    expect('addition_embed_type', config.additionEmbed, unet.additionEmbed, 'it has other conditions');
}

/** Throws ConfigError unless the net's pictures have the size of the VAE's. */
export function checkFitsVae({ config, file }: NetConfig, scaleFactor: number): void {
  const factor = conditioningFactor(config);
  if (factor !== scaleFactor)
    throw new ConfigError(`its pictures have ${factor} pixels to a latent, the VAE's ${scaleFactor}`, {
      file,
      field: 'conditioning_embedding_out_channels',
      remedy: FITTING,
    });
}
