/** @file What pipelines with PixArt's transformer need besides their text. */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { pixArtTransformer, positionShape, sizeInputs } from '../../models/pixart-transformer.ts';
import type { NetworkInputs } from '../denoise/denoise-graph.ts';

export { parsePixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
export { buildPixArtTransformer } from '../../models/pixart-transformer.ts';
export { binnedSize, resizeAndCrop } from './resolution-bins.ts';

/** What PixArt's transformer predicts, without a variance; its other inputs are declared here. */
export function pixArtOutput(
  b: GraphBuilder,
  config: PixArtTransformerConfig,
  inputs: NetworkInputs,
): ValueId {
  const [batch, height, width] = b.shapeOf(inputs.sample);
  const [, tokens] = b.shapeOf(inputs.encoderHiddenStates);
  const output = pixArtTransformer(b, config, {
    ...inputs,
    encoderAttentionBias: b.input('encoder_attention_bias', [batch, tokens, 1, 1], 'float', 'prompt'),
    positions: b.input('pos_embed', positionShape(config, height, width), 'float', 'prompt'),
    ...(config.useAdditionalConditions && { added: sizeInputs(b, batch) }),
  });
  const { inChannels: length, outChannels } = config;
  return outChannels === length
    ? output
    : b.op('sliceChannels', 'noise_pred', { x: output }, { start: 0, length });
}
