/**
 * @file ControlNetModel (diffusers models/controlnets/controlnet.py): a copy of a UNet's first half that sees a picture
 * beside the latents, and what it adds to the UNet's skip connections. Zhang et al. 2023.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { ControlNetConfig } from '../loaders/configs/controlnet.ts';
import { mulDims, symbol } from '../tensor/shape.ts';
import type { UNetContext } from './blocks/unet-blocks.ts';
import { skipChannels, unetEncoder } from './blocks/unet-encoder.ts';
import {
  addedInputs,
  timeEmbedding,
  type ControlResiduals,
  type UNet2DConditionInputs,
} from './unet2d-condition.ts';

/** Values that a ControlNet reads: those of its UNet, and the picture. */
export interface ControlNetInputs extends Pick<
  UNet2DConditionInputs,
  'sample' | 'timestep' | 'encoderHiddenStates' | 'added'
> {
  /** [batch, height * f, width * f, conditioningChannels], f as `conditioningFactor` says; usually 0 to 1. */
  readonly image: ValueId;
}

/** Pixels of the picture to a latent, in height and width. */
export function conditioningFactor({ conditioningEmbeddingOutChannels }: ControlNetConfig): number {
  return 2 ** (conditioningEmbeddingOutChannels.length - 1);
}

/** Number of residuals: one for each skip connection and one for the middle. */
export function residualCount(config: ControlNetConfig): number {
  return skipChannels(config).length + 1;
}

/** `ControlNetConditioningEmbedding`: the picture at the size of the latents, [batch, height, width, channels]. */
function conditioningEmbedding(
  b: GraphBuilder,
  image: ValueId,
  { conditioningEmbeddingOutChannels: widths, blockOutChannels }: ControlNetConfig,
): ValueId {
  const path = 'controlnet_cond_embedding';
  const layer = (x: ValueId, name: string, channels: number, stride: number): ValueId =>
    b.activate(b.conv2d(x, `${path}.${name}`, { channels, kernel: 3, stride }), 'silu', `${path}.${name}`);
  let x = layer(image, 'conv_in', widths[0], 1);
  for (let i = 0; i + 1 < widths.length; i++) {
    x = layer(x, `blocks.${2 * i}`, widths[i], 1);
    x = layer(x, `blocks.${2 * i + 1}`, widths[i + 1], 2);
  }
  return b.conv2d(x, `${path}.conv_out`, { channels: blockOutChannels[0], kernel: 3 });
}

/**
 * Appends the network to a graph.
 * @returns its residuals: one for each skip connection and, last, one for the middle
 */
export function controlNet(
  b: GraphBuilder,
  config: ControlNetConfig,
  inputs: ControlNetInputs,
): ControlResiduals['values'] {
  const context: UNetContext = {
    temb: timeEmbedding(b, config, inputs),
    text: inputs.encoderHiddenStates,
    groups: config.normNumGroups,
    eps: config.normEps,
    linearProjection: config.useLinearProjection,
  };
  const start = b.conv2d(inputs.sample, 'conv_in', { channels: config.blockOutChannels[0], kernel: 3 });
  const conditioned = b.add(start, conditioningEmbedding(b, inputs.image, config), 'conv_in');
  const { skips, middle } = unetEncoder(b, conditioned, context, config);
  const residual = (x: ValueId, path: string): ValueId => {
    const y = b.conv2d(x, path, { channels: b.channelsOf(x), kernel: 1 });
    return config.globalPoolConditions ? b.op('poolMean', path, { x: y }, {}) : y;
  };
  return [
    ...skips.map((skip, i) => residual(skip, `controlnet_down_blocks.${i}`)),
    residual(middle, 'controlnet_mid_block'),
  ];
}

/**
 * The network alone. Symbols: `batch`, `height` and `width` (of latents), `tokens`, and for SDXL `timeIds`.
 *
 * Inputs are a UNet's (`buildUNet2DCondition`) and `controlnet_cond` [batch, height * f, width * f, channels]. Outputs:
 * `down_block_res_samples.0`, ... and `mid_block_res_sample`, unscaled.
 * @param path where its weights are, beside those of other networks
 */
export function buildControlNet(config: ControlNetConfig, path?: string): Graph {
  const b = new GraphBuilder('controlnet');
  const [batch, height, width, tokens] = ['batch', 'height', 'width', 'tokens'].map(symbol);
  const factor = conditioningFactor(config);
  const pixels = [mulDims(factor, height), mulDims(factor, width)];
  const inputs: ControlNetInputs = {
    sample: b.input('sample', [batch, height, width, config.inChannels], 'float', 'latent'),
    timestep: b.input('timestep', [batch], 'f32', 'step'),
    encoderHiddenStates: b.input(
      'encoder_hidden_states',
      [batch, tokens, config.crossAttentionDim],
      'float',
      'prompt',
    ),
    image: b.input('controlnet_cond', [batch, ...pixels, config.conditioningChannels], 'float', 'prompt'),
    ...(config.additionEmbed && { added: addedInputs(b, batch, config.additionEmbed) }),
  };
  const build = (): ControlResiduals['values'] => controlNet(b, config, inputs);
  const residuals = path === undefined ? build() : b.within(path, build);
  residuals.forEach((residual, i) =>
    b.output(i + 1 < residuals.length ? `down_block_res_samples.${i}` : 'mid_block_res_sample', residual),
  );
  return b.build();
}
