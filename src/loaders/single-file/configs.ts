/**
 * @file diffusers' and transformers' configurations of a checkpoint's components, read off the shapes of its tensors
 * and, for what shapes do not tell, the published configurations of its kind.
 */
import { FileFormatError } from '../../errors.ts';
import type { WeightSource } from '../weight-source.ts';
import type { ModelKind } from './kinds.ts';
import type { UNetLayer, UNetLayout } from './unet-names.ts';

/** The content of a config.json. */
export type Config = Readonly<Record<string, unknown>>;

/** Tensors of a UNet, VAE or text encoder under diffusers' names. */
type Component = Pick<WeightSource, 'name' | 'names' | 'has' | 'info'>;

/** Size of one dimension of a tensor that must be there. */
function sizeOf(weights: Component, tensor: string, dimension: number): number {
  const { shape, file } = weights.info(tensor);
  if (dimension < shape.length) return shape[dimension];
  throw new FileFormatError(`has the shape [${shape.join(', ')}], which is too few dimensions`, {
    file,
    field: tensor,
    remedy: 'The file is no checkpoint in the original layout; name its diffusers model with `config`',
  });
}

/** How many things `path.0`, `path.1`, ... a component has. */
function countOf(weights: Component, path: string): number {
  let count = 0;
  for (const name of weights.names()) {
    if (!name.startsWith(`${path}.`)) continue;
    count = Math.max(count, Number.parseInt(name.slice(path.length + 1), 10) + 1);
  }
  return count;
}

/** How heads are counted in each attention. */
type Heads = ModelKind['heads'];

/** The fields that follow from a UNet's down blocks and middle, which ControlNets have too. */
function encoderConfig(
  weights: WeightSource,
  { down, middle }: Pick<UNetLayout, 'down' | 'middle'>,
  attention: string | undefined,
  heads: Heads,
): Config {
  const channels = down.map(([layer]) => sizeOf(weights, `${layer?.resnet}.conv1.weight`, 0));
  const downDepths = depths(weights, down);
  return {
    in_channels: sizeOf(weights, 'conv_in.weight', 1),
    block_out_channels: channels,
    layers_per_block: alike(down.map((layers) => layers.length)),
    down_block_types: down.map((layers) => (attends(layers) ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    mid_block_type:
      middle.attentions.length > 0
        ? 'UNetMidBlock2DCrossAttn'
        : middle.resnets.length > 0
          ? 'UNetMidBlock2D'
          : null,
    // The middle block takes the depth of the deepest level, whether that level attends or not.
    transformer_layers_per_block:
      middle.attentions.length > 0 && !attends(down.at(-1) ?? [])
        ? [...downDepths.slice(0, -1), depth(weights, middle.attentions[0])]
        : downDepths,
    cross_attention_dim: sizeOf(weights, `${attention}.transformer_blocks.0.attn2.to_k.weight`, 1),
    use_linear_projection: weights.info(`${attention}.proj_in.weight`).shape.length === 2,
    attention_head_dim: channels.map((width) =>
      'count' in heads ? heads.count : Math.max(1, Math.floor(width / heads.channels)),
    ),
    ...(weights.has('add_embedding.linear_1.weight') && {
      addition_embed_type: 'text_time',
      addition_time_embed_dim: 256,
      projection_class_embeddings_input_dim: sizeOf(weights, 'add_embedding.linear_1.weight', 1),
    }),
  };
}

function attends(layers: readonly UNetLayer[]): boolean {
  return layers.some(({ attention }) => attention !== undefined);
}

/** Number of transformer blocks of an attention. */
function depth(weights: Component, attention: string | undefined): number {
  return attention === undefined ? 0 : countOf(weights, `${attention}.transformer_blocks`);
}

function depths(weights: Component, levels: UNetLayout['down']): (number | number[])[] {
  return levels.map((layers) =>
    attends(layers) ? alike(layers.map(({ attention }) => depth(weights, attention))) : 1,
  );
}

/** The first attention there is, for what all of them have in common. */
function firstAttention({ middle }: UNetLayout | Pick<UNetLayout, 'middle'>, levels: UNetLayout['down']) {
  return middle.attentions[0] ?? levels.flat().find(({ attention }) => attention !== undefined)?.attention;
}

/** A UNet2DConditionModel's config.json. */
export function unetConfig(weights: WeightSource, layout: UNetLayout, kind: ModelKind): Config {
  const { down, up } = layout;
  const upDepths = depths(weights, up);
  const downDepths = depths(weights, down);
  const mirrored = upDepths.toReversed().every((each, i) => each === downDepths[i]);
  return {
    ...encoderConfig(weights, layout, firstAttention(layout, [...down, ...up]), kind.heads),
    _class_name: 'UNet2DConditionModel',
    sample_size: kind.sampleSize,
    out_channels: sizeOf(weights, 'conv_out.weight', 0),
    up_block_types: up.map((layers) => (attends(layers) ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    ...(!mirrored && { reverse_transformer_layers_per_block: upDepths }),
    upcast_attention: kind.upcastAttention,
    time_cond_proj_dim: weights.has('time_embedding.cond_proj.weight')
      ? sizeOf(weights, 'time_embedding.cond_proj.weight', 1)
      : null,
  };
}

/** Width of the text that SD 1.x reads; its attentions have 8 heads each, those of later models heads of 64. */
const SD1_TEXT = 768;

/** A ControlNetModel's config.json. */
export function controlNetConfig(weights: WeightSource, layout: Pick<UNetLayout, 'down' | 'middle'>): Config {
  const attention = firstAttention(layout, layout.down);
  const text = sizeOf(weights, `${attention}.transformer_blocks.0.attn2.to_k.weight`, 1);
  const path = 'controlnet_cond_embedding';
  const blocks = countOf(weights, `${path}.blocks`);
  return {
    ...encoderConfig(weights, layout, attention, text === SD1_TEXT ? { count: 8 } : { channels: 64 }),
    _class_name: 'ControlNetModel',
    conditioning_channels: sizeOf(weights, `${path}.conv_in.weight`, 1),
    // Blocks come in pairs: one keeps the width, one goes on to the next.
    conditioning_embedding_out_channels: [
      sizeOf(weights, `${path}.conv_in.weight`, 0),
      ...Array.from({ length: blocks / 2 }, (_, i) =>
        sizeOf(weights, `${path}.blocks.${2 * i + 1}.weight`, 0),
      ),
    ],
  };
}

/** One number if all are the same. */
function alike(values: readonly number[]): number | number[] {
  return values.every((value) => value === values[0]) ? (values[0] ?? 1) : [...values];
}

/** An AutoencoderKL's config.json. */
export function vaeConfig(
  weights: WeightSource,
  { scalingFactor, sampleSize }: Pick<ModelKind, 'scalingFactor' | 'sampleSize'>,
): Config {
  const levels = countOf(weights, 'decoder.up_blocks');
  const channels = Array.from({ length: levels }, (_, i) =>
    sizeOf(weights, `decoder.up_blocks.${levels - 1 - i}.resnets.0.conv1.weight`, 0),
  );
  const resample = (type: string): string[] => channels.map(() => type);
  return {
    _class_name: 'AutoencoderKL',
    in_channels: 3,
    out_channels: sizeOf(weights, 'decoder.conv_out.weight', 0),
    latent_channels: sizeOf(weights, 'decoder.conv_in.weight', 1),
    block_out_channels: channels,
    layers_per_block: countOf(weights, 'decoder.up_blocks.0.resnets') - 1,
    down_block_types: resample('DownEncoderBlock2D'),
    up_block_types: resample('UpDecoderBlock2D'),
    sample_size: sampleSize * 2 ** (levels - 1),
    scaling_factor: scalingFactor,
    use_quant_conv: weights.has('quant_conv.weight'),
    use_post_quant_conv: weights.has('post_quant_conv.weight'),
  };
}

/** Layers of SD 2.x's text encoder that diffusers keeps: the last of OpenCLIP's 24 is not used. */
const SD2_TEXT_LAYERS = 23;

/** A CLIP text encoder's config.json. `openClip`: trained by OpenCLIP, with the exact GELU. */
export function textConfig(weights: WeightSource, openClip: boolean, projection: boolean): Config {
  const prefix = weights.has('text_model.final_layer_norm.weight') ? 'text_model.' : '';
  const layers = countOf(weights, `${prefix}encoder.layers`);
  const width = sizeOf(weights, `${prefix}final_layer_norm.weight`, 0);
  return {
    model_type: 'clip_text_model',
    vocab_size: sizeOf(weights, `${prefix}embeddings.token_embedding.weight`, 0),
    hidden_size: width,
    intermediate_size: sizeOf(weights, `${prefix}encoder.layers.0.mlp.fc1.weight`, 0),
    num_hidden_layers: openClip && !projection ? Math.min(layers, SD2_TEXT_LAYERS) : layers,
    num_attention_heads: Math.max(1, Math.floor(width / 64)),
    max_position_embeddings: sizeOf(weights, `${prefix}embeddings.position_embedding.weight`, 0),
    hidden_act: openClip ? 'gelu' : 'quick_gelu',
    projection_dim: projection ? sizeOf(weights, 'text_projection.weight', 0) : width,
    eos_token_id: 2,
  };
}
