/**
 * @file CLIPVisionModelWithProjection (transformers models/clip/modeling_clip.py): the image encoder of IP-Adapters.
 * Radford et al. 2021.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { CLIPVisionConfig } from '../loaders/configs/clip-vision.ts';
import { symbol } from '../tensor/shape.ts';
import { clipEncoderLayer } from './blocks/clip-encoder-layer.ts';
import { concatTokens, learnedTokens } from './blocks/token-rows.ts';

const PREFIX = 'vision_model.';

/** Tokens of a picture: one for each patch, and one for all. */
export function visionTokens({ imageSize, patchSize }: CLIPVisionConfig): number {
  return Math.floor(imageSize / patchSize) ** 2 + 1;
}

/**
 * The image encoder, with both results that IP-Adapters ask for; keep the one you need with `selectOutputs`.
 * Symbol: `batch`.
 *
 * Inputs: `pixel_values` [batch, imageSize, imageSize, 3]; `zeros` [batch] i32, all 0.
 * Outputs: `image_embeds` [batch, projectionDim]; `penultimate_hidden_state` [batch, tokens, hiddenSize], transformers'
 * `hidden_states[-2]`.
 */
export function buildCLIPVision(config: CLIPVisionConfig): Graph {
  const b = new GraphBuilder('image_encoder');
  const batch = symbol('batch');
  const { imageSize, patchSize, hiddenSize: channels, numHiddenLayers } = config;
  const pixels = b.input('pixel_values', [batch, imageSize, imageSize, 3], 'float', 'prompt');
  const zeros = b.input('zeros', [batch], 'i32', 'prompt');
  const norm = { eps: config.layerNormEps };

  const path = `${PREFIX}embeddings`;
  const tokens = visionTokens(config);
  const patches = b.toTokens(
    b.conv2d(pixels, `${path}.patch_embedding`, {
      channels,
      kernel: patchSize,
      stride: patchSize,
      padding: 0,
      bias: false,
    }),
  );
  const whole = learnedTokens(
    b,
    `${path}.class_embedding`,
    { tokens: 1, channels, stored: [channels] },
    zeros,
  );
  const positions = learnedTokens(
    b,
    `${path}.position_embedding.weight`,
    { tokens, channels, stored: [tokens, channels] },
    zeros,
  );
  let x = b.add(concatTokens(b, whole, patches, path), positions, path);
  // Its name is spelt so in transformers.
  x = b.layerNorm(x, `${PREFIX}pre_layrnorm`, norm);
  for (let i = 0; i < numHiddenLayers; i++) {
    if (i === numHiddenLayers - 1) b.output('penultimate_hidden_state', x);
    x = clipEncoderLayer(b, x, `${PREFIX}encoder.layers.${i}`, config, { causal: false });
  }
  const first = b.op('selectToken', `${PREFIX}pooled`, { x, index: zeros }, {});
  const pooled = b.layerNorm(first, `${PREFIX}post_layernorm`, norm);
  b.output(
    'image_embeds',
    b.linear(pooled, 'visual_projection', { channels: config.projectionDim, bias: false }),
  );
  return b.build();
}
