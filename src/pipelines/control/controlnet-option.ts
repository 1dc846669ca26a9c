/** @file What ControlNets must have in common with the UNet and the VAE beside them. */

import { ConfigError } from '../../errors.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { StandaloneControlNet } from '../../loaders/single-file/standalone-controlnet.ts';
import { skipChannels } from '../../models/blocks/unet-encoder.ts';
import { conditioningFactor } from '../../models/controlnet.ts';

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
