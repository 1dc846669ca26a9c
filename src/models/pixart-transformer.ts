/**
 * @file PixArtTransformer2DModel (diffusers models/transformers/pixart_transformer_2d.py): the denoiser of PixArt-alpha, a
 * transformer over patches of the latents. Chen et al. 2023, after Peebles and Xie 2023.
 */

import { GraphError } from '../errors.ts';
import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { PixArtTransformerConfig } from '../loaders/configs/pixart-transformer.ts';
import { floorDivDim, mulDims, symbol, type Dim } from '../tensor/shape.ts';
import { attentionLayer } from './blocks/attention-layer.ts';
import { timestepMlp } from './blocks/timestep-mlp.ts';
import { sincosPositions } from './sincos-positions.ts';

/** Values that a transformer reads. */
export interface PixArtTransformerInputs {
  /** [batch, height, width, inChannels] */
  readonly sample: ValueId;
  /** [batch] f32 */
  readonly timestep: ValueId;
  /** [batch, tokens, crossAttentionDim] */
  readonly encoderHiddenStates: ValueId;
  /** What is added to the scores of each text token, [batch, tokens, 1, 1]: 0, or -10000 where it is not to be seen. */
  readonly encoderAttentionBias: ValueId;
  /** `positionEmbedding`'s numbers, [patches * channels]. */
  readonly positions: ValueId;
  /** The picture's size, if the config has `useAdditionalConditions`. */
  readonly added?: {
    /** [batch, 2] f32: height and width in pixels. */
    readonly resolution: ValueId;
    /** [batch, 1] f32: height / width. */
    readonly aspectRatio: ValueId;
  };
}

/** Sinusoids of each number. */
const TIME_CHANNELS = 256;

/** Columns of a block's modulation, in units of its channels. */
const MODULATION = {
  shiftAttention: 0,
  scaleAttention: 1,
  gateAttention: 2,
  shiftMlp: 3,
  scaleMlp: 4,
  gateMlp: 5,
};

/** Channels of the tokens. */
function widthOf({ numAttentionHeads, attentionHeadDim }: PixArtTransformerConfig): number {
  return numAttentionHeads * attentionHeadDim;
}

/** Sinusoids of [batch] or [batch, n] through an MLP: [batch, n * channels] (`PixArtAlphaCombinedTimestepSizeEmbeddings`). */
function numberEmbedding(b: GraphBuilder, t: ValueId, path: string, channels: number): ValueId {
  const attrs = { channels: TIME_CHANNELS, flipSinToCos: true, freqShift: 0, maxPeriod: 10000 };
  const [batch = 1, count = 1] = b.shapeOf(t);
  const sinusoids = b.op('timestepEmbedding', path, { t }, attrs);
  const each = b.reshape(sinusoids, [batch, count, TIME_CHANNELS], path);
  return b.reshape(timestepMlp(b, each, path, channels), [batch, mulDims(count, channels)], path);
}

/** What all blocks are conditioned on, [batch, channels]: the timestep, and with it the picture's size. */
function conditioning(b: GraphBuilder, width: number, { timestep, added }: PixArtTransformerInputs): ValueId {
  const time = numberEmbedding(b, timestep, 'adaln_single.emb.timestep_embedder', width);
  if (!added) return time;
  const third = width / 3;
  const resolution = numberEmbedding(b, added.resolution, 'adaln_single.emb.resolution_embedder', third);
  const ratio = numberEmbedding(b, added.aspectRatio, 'adaln_single.emb.aspect_ratio_embedder', third);
  return b.add(b.concat(resolution, ratio, 'adaln_single.emb'), time, 'adaln_single.emb');
}

/** Two linear layers (`PixArtAlphaTextProjection`). */
function captionProjection(b: GraphBuilder, text: ValueId, channels: number): ValueId {
  const path = 'caption_projection';
  const h = b.activate(b.linear(text, `${path}.linear_1`, { channels }), 'gelu_tanh', `${path}.act_1`);
  return b.linear(h, `${path}.linear_2`, { channels });
}

/** Self-attention, cross-attention and feed-forward, modulated (`BasicTransformerBlock` with "ada_norm_single"). */
function block(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  config: PixArtTransformerConfig,
  {
    modulation,
    text,
    bias,
  }: { readonly modulation: ValueId; readonly text: ValueId; readonly bias: ValueId },
): ValueId {
  const channels = b.channelsOf(x);
  const { numAttentionHeads: heads, normEps: eps, attentionBias } = config;
  const table = modulationTable(b, `${path}.scale_shift_table`, 6, channels);
  const norm = (value: ValueId, name: string, part: 'Attention' | 'Mlp'): ValueId =>
    b.op(
      'adaLayerNorm',
      `${path}.${name}`,
      { x: value, modulation, table },
      { eps, shift: MODULATION[`shift${part}`] * channels, scale: MODULATION[`scale${part}`] * channels },
    );
  const gated = (value: ValueId, addend: ValueId, name: string, part: 'Attention' | 'Mlp'): ValueId =>
    b.op(
      'addGated',
      `${path}.${name}`,
      { x: value, addend, modulation, table },
      { gate: MODULATION[`gate${part}`] * channels },
    );
  const options = { heads, bias: attentionBias };
  let normed = norm(x, 'norm1', 'Attention');
  x = gated(x, attentionLayer(b, normed, normed, `${path}.attn1`, options), 'attn1', 'Attention');
  const attended = attentionLayer(b, x, text, `${path}.attn2`, { ...options, scoreBias: bias });
  x = b.add(attended, x, `${path}.attn2`);
  normed = norm(x, 'norm2', 'Mlp');
  const wide = b.linear(normed, `${path}.ff.net.0.proj`, { channels: 4 * channels });
  const h = b.activate(wide, config.activation, `${path}.ff.net.0`);
  return gated(x, b.linear(h, `${path}.ff.net.2`, { channels }), 'ff', 'Mlp');
}

/** A stored table [rows, channels] as the vector that modulation is added to. */
function modulationTable(b: GraphBuilder, path: string, rows: number, channels: number): ValueId {
  return b.weight(path, [rows * channels], [rows, channels]);
}

/** Tokens [batch, height * width, patch * patch * channels] as an image [batch, height * patch, width * patch, channels]. */
function unpatchify(
  b: GraphBuilder,
  tokens: ValueId,
  [height, width]: readonly [height: Dim, width: Dim],
  patch: number,
  channels: number,
): ValueId {
  const [batch = 1] = b.shapeOf(tokens);
  const length = patch * channels;
  // One row of pixels from each row of tokens; side by side they are `patch` rows of the image.
  const rows = Array.from({ length: patch }, (_, i) => {
    const part = b.op('sliceChannels', 'unpatchify', { x: tokens }, { start: i * length, length });
    return b.reshape(part, [batch, height, mulDims(width, length)], 'unpatchify');
  });
  const image = rows.reduce((above, below) => b.concat(above, below, 'unpatchify'));
  return b.reshape(image, [batch, mulDims(height, patch), mulDims(width, patch), channels], 'unpatchify');
}

/** Throws GraphError unless the conditions are given that the config asks for, and no others. */
function checkInputs(config: PixArtTransformerConfig, inputs: PixArtTransformerInputs): void {
  const wanted = config.useAdditionalConditions;
  if (wanted === (inputs.added !== undefined)) return;
  throw new GraphError(wanted ? 'is missing' : 'is given to a transformer that does not read it', {
    file: 'transformer',
    field: 'added',
    remedy: 'Give the inputs that the config asks for',
  });
}

/**
 * Appends the network to a graph.
 * @returns [batch, height, width, outChannels]; height and width must be multiples of patchSize
 * @throws GraphError for conditions that do not fit the config
 */
export function pixArtTransformer(
  b: GraphBuilder,
  config: PixArtTransformerConfig,
  inputs: PixArtTransformerInputs,
): ValueId {
  checkInputs(config, inputs);
  const { patchSize, outChannels, numLayers } = config;
  const channels = widthOf(config);
  const patches = b.conv2d(inputs.sample, 'pos_embed.proj', {
    channels,
    kernel: patchSize,
    stride: patchSize,
    padding: 0,
  });
  const [batch = 1, height = 1, width = 1] = b.shapeOf(patches);
  const flat = b.reshape(patches, [batch, mulDims(height, width, channels)], 'pos_embed');
  const placed = b.op('addBias', 'pos_embed', { x: flat, bias: inputs.positions }, {});
  let x = b.reshape(placed, [batch, mulDims(height, width), channels], 'pos_embed');

  const condition = conditioning(b, channels, inputs);
  const activated = b.activate(condition, 'silu', 'adaln_single');
  const modulation = b.linear(activated, 'adaln_single.linear', { channels: 6 * channels });
  const text = config.captionProjection
    ? captionProjection(b, inputs.encoderHiddenStates, channels)
    : inputs.encoderHiddenStates;
  const context = { modulation, text, bias: inputs.encoderAttentionBias };
  for (let i = 0; i < numLayers; i++) x = block(b, x, `transformer_blocks.${i}`, config, context);

  x = b.op(
    'adaLayerNorm',
    'norm_out',
    {
      x,
      modulation: b.concat(condition, condition, 'norm_out'),
      table: modulationTable(b, 'scale_shift_table', 2, channels),
    },
    { eps: 1e-6, shift: 0, scale: channels },
  );
  x = b.linear(x, 'proj_out', { channels: patchSize * patchSize * outChannels });
  return unpatchify(b, x, [height, width], patchSize, outChannels);
}

/** Shape of the input `positions` for latents of this size. */
export function positionShape(config: PixArtTransformerConfig, height: Dim, width: Dim): readonly [Dim] {
  const { patchSize } = config;
  return [mulDims(floorDivDim(height, patchSize), floorDivDim(width, patchSize), widthOf(config))];
}

/** The input `positions` for latents of this size. */
export function positionEmbedding(
  config: PixArtTransformerConfig,
  height: number,
  width: number,
): Float32Array {
  const { sampleSize, patchSize, interpolationScale } = config;
  return sincosPositions({
    channels: widthOf(config),
    rows: Math.floor(height / patchSize),
    columns: Math.floor(width / patchSize),
    baseSize: sampleSize / patchSize,
    interpolationScale,
  });
}

/** Inputs of the picture's size, for transformers that read them. */
export function sizeInputs(b: GraphBuilder, batch: Dim) {
  return {
    resolution: b.input('resolution', [batch, 2], 'f32', 'prompt'),
    aspectRatio: b.input('aspect_ratio', [batch, 1], 'f32', 'prompt'),
  };
}

/**
 * The network alone. Symbols: `batch`, `height` and `width` (of latents), `tokens`.
 *
 * Inputs: `sample` [batch, height, width, inChannels], `timestep` [batch], `encoder_hidden_states`
 * [batch, tokens, crossAttentionDim], `encoder_attention_bias` [batch, tokens, 1, 1], `pos_embed` (see
 * `positionEmbedding`), and with `useAdditionalConditions` `resolution` [batch, 2] and `aspect_ratio` [batch, 1]. Output:
 * `output` [batch, height, width, outChannels].
 */
export function buildPixArtTransformer(config: PixArtTransformerConfig): Graph {
  const b = new GraphBuilder('transformer');
  const [batch, height, width, tokens] = ['batch', 'height', 'width', 'tokens'].map(symbol);
  const text = [batch, tokens, config.crossAttentionDim];
  const output = pixArtTransformer(b, config, {
    sample: b.input('sample', [batch, height, width, config.inChannels], 'float', 'latent'),
    timestep: b.input('timestep', [batch], 'f32', 'step'),
    encoderHiddenStates: b.input('encoder_hidden_states', text, 'float', 'prompt'),
    encoderAttentionBias: b.input('encoder_attention_bias', [batch, tokens, 1, 1], 'float', 'prompt'),
    positions: b.input('pos_embed', positionShape(config, height, width), 'float', 'prompt'),
    ...(config.useAdditionalConditions && { added: sizeInputs(b, batch) }),
  });
  b.output('output', output);
  return b.build();
}
