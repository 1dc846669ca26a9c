/**
 * @file UNet2DConditionModel (diffusers models/unets/unet_2d_condition.py): the denoiser of Stable Diffusion 1, 2,
 * XL and their relatives. Rombach et al. 2022, Podell et al. 2023.
 */

import { GraphError } from '../errors.ts';
import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { UNet2DConditionConfig, UNetAdditionEmbed } from '../loaders/configs/unet.ts';
import { addDims, mulDims, symbol, type Dim } from '../tensor/shape.ts';
import type { AttentionExtras } from './blocks/attention-extras.ts';
import { timestepMlp } from './blocks/timestep-mlp.ts';
import { upBlock, type FreeUScales, type UNetContext } from './blocks/unet-blocks.ts';
import { unetEncoder } from './blocks/unet-encoder.ts';

/** What one ControlNet adds to a UNet, and how much of it. */
export interface ControlResiduals {
  /** For each skip connection and, last, the middle: of its shape, or [batch, channels] for every pixel alike. */
  readonly values: readonly ValueId[];
  /** [batch, columns]: the weights of the values, from `firstColumn` on. */
  readonly scales: ValueId;
  readonly firstColumn: number;
}

/** Values that a UNet reads. Which of the optional ones it needs follows from its config. */
export interface UNet2DConditionInputs {
  /** [batch, height, width, inChannels] */
  readonly sample: ValueId;
  /** [batch] f32 */
  readonly timestep: ValueId;
  /** [batch, tokens, crossAttentionDim] */
  readonly encoderHiddenStates: ValueId;
  /** SDXL's conditions, if the config has `additionEmbed`. */
  readonly added?: {
    /** Pooled text, [batch, pooledChannels] */
    readonly textEmbeds: ValueId;
    /** Sizes and crops, [batch, timeIds] f32 */
    readonly timeIds: ValueId;
  };
  /** Guidance embedding [batch, timeCondProjDim], if the config has `timeCondProjDim` (LCM). */
  readonly timestepCond?: ValueId;
  /** Numbers [batch] i32 below `numClassEmbeds`, if the config has it. */
  readonly classLabels?: ValueId;
  /** What ControlNets add to the skip connections and the middle. */
  readonly control?: readonly ControlResiduals[];
  /** FreeU's factors for the first up blocks. Default none. */
  readonly freeU?: readonly FreeUScales[] | undefined;
  /** Additions to the attentions. */
  readonly extras?: AttentionExtras | undefined;
}

/** Throws GraphError unless exactly those optional inputs are given that the config asks for. */
function checkInputs(
  { additionEmbed, timeCondProjDim, numClassEmbeds }: UNet2DConditionConfig,
  inputs: UNet2DConditionInputs,
): void {
  const fail = (field: string, wanted: boolean): never => {
    throw new GraphError(wanted ? 'is missing' : 'is given to a UNet that does not read it', {
      file: 'unet',
      field,
      remedy: 'Give the inputs that the config asks for',
    });
  };
  if ((additionEmbed !== null) !== (inputs.added !== undefined)) fail('added', additionEmbed !== null);
  if ((timeCondProjDim !== null) !== (inputs.timestepCond !== undefined))
    fail('timestepCond', timeCondProjDim !== null);
  if ((numClassEmbeds !== null) !== (inputs.classLabels !== undefined))
    fail('classLabels', numClassEmbeds !== null);
}

/** What decides the time embedding; ControlNets have the same. */
type TimeEmbeddingConfig = Pick<
  UNet2DConditionConfig,
  'blockOutChannels' | 'flipSinToCos' | 'freqShift' | 'timeEmbedDim' | 'additionEmbed'
> & { readonly numClassEmbeds?: UNet2DConditionConfig['numClassEmbeds'] };

/** Sinusoids of `t` [batch] or [batch, n] side by side. */
function sinusoids(
  b: GraphBuilder,
  t: ValueId,
  name: string,
  channels: number,
  config: TimeEmbeddingConfig,
): ValueId {
  const { flipSinToCos, freqShift } = config;
  return b.op('timestepEmbedding', name, { t }, { channels, flipSinToCos, freqShift, maxPeriod: 10000 });
}

/** Time embedding plus the config's other conditions, activated as every resnet does: [batch, timeEmbedDim]. */
export function timeEmbedding(
  b: GraphBuilder,
  config: TimeEmbeddingConfig,
  inputs: Pick<UNet2DConditionInputs, 'timestep' | 'timestepCond' | 'added' | 'classLabels'>,
): ValueId {
  const width = config.blockOutChannels[0];
  let sample = sinusoids(b, inputs.timestep, 'time_proj', width, config);
  if (inputs.timestepCond !== undefined) {
    const projected = b.linear(inputs.timestepCond, 'time_embedding.cond_proj', {
      channels: width,
      bias: false,
    });
    sample = b.add(projected, sample, 'time_embedding.cond_proj');
  }
  let embedding = timestepMlp(b, sample, 'time_embedding', config.timeEmbedDim);
  if (config.numClassEmbeds && inputs.classLabels !== undefined) {
    const name = 'class_embedding';
    const table = b.weight(`${name}.weight`, [config.numClassEmbeds, config.timeEmbedDim]);
    const row = b.op('gatherRows', name, { table, index: inputs.classLabels }, {});
    embedding = b.add(row, embedding, name);
  }
  if (config.additionEmbed && inputs.added) {
    const { textEmbeds, timeIds } = inputs.added;
    const ids = sinusoids(b, timeIds, 'add_time_proj', config.additionEmbed.timeEmbedDim, config);
    const added = timestepMlp(
      b,
      b.concat(textEmbeds, ids, 'add_embeds'),
      'add_embedding',
      config.timeEmbedDim,
    );
    embedding = b.add(added, embedding, 'add_embedding');
  }
  return b.activate(embedding, 'silu', 'time_embedding');
}

/** Height and width of an NHWC value. */
function sizeOfImage(b: GraphBuilder, x: ValueId): readonly [height: Dim, width: Dim] {
  const [, height = 1, width = 1] = b.shapeOf(x);
  return [height, width];
}

/**
 * Appends the network to a graph.
 * @returns [batch, height, width, outChannels]
 * @throws GraphError for optional inputs that do not fit the config.
 */
export function unet2DCondition(
  b: GraphBuilder,
  config: UNet2DConditionConfig,
  inputs: UNet2DConditionInputs,
): ValueId {
  checkInputs(config, inputs);
  const { blockOutChannels, layersPerBlock, numAttentionHeads } = config;
  const context: UNetContext = {
    temb: timeEmbedding(b, config, inputs),
    text: inputs.encoderHiddenStates,
    groups: config.normNumGroups,
    eps: config.normEps,
    linearProjection: config.useLinearProjection,
    extras: inputs.extras,
  };
  const last = blockOutChannels.length - 1;

  const start = b.conv2d(inputs.sample, 'conv_in', { channels: blockOutChannels[0], kernel: 3 });
  const encoded = unetEncoder(b, start, context, config);
  const skips = [...encoded.skips, encoded.middle].map((value, i) =>
    (inputs.control ?? []).reduce(
      (sum, { values, scales, firstColumn }) =>
        b.addScaled(sum, values[i], scales, firstColumn + i, `control.${i}`),
      value,
    ),
  );
  let x = skips.pop() ?? encoded.middle;

  blockOutChannels.toReversed().forEach((channels, i) => {
    const level = last - i;
    const layers = layersPerBlock[level] + 1;
    const taken = skips.splice(-layers);
    const next = skips.at(-1);
    x = upBlock(b, x, taken, `up_blocks.${i}`, context, {
      channels,
      layers,
      heads: numAttentionHeads[level],
      depths: config.upTransformerLayersPerBlock[i],
      onlyCrossAttention: config.onlyCrossAttention[level],
      freeU: inputs.freeU?.[i],
      // The size of the next skip: twice this one's, or one less where the level above is odd (`upsample_size`).
      ...(next === undefined ? {} : { upsampleTo: sizeOfImage(b, next) }),
    });
  });

  x = b.groupNorm(x, 'conv_norm_out', { groups: config.normNumGroups, eps: config.normEps });
  x = b.activate(x, 'silu', 'conv_norm_out');
  return b.conv2d(x, 'conv_out', { channels: config.outChannels, kernel: 3 });
}

/** Inputs of SDXL's conditions; text and ids share the width `inputDim`, however many ids (6, or 5 in refiners). */
export function addedInputs(b: GraphBuilder, batch: Dim, { timeEmbedDim, inputDim }: UNetAdditionEmbed) {
  const count = symbol('timeIds');
  const pooled = addDims(inputDim, mulDims(-timeEmbedDim, count));
  return {
    textEmbeds: b.input('text_embeds', [batch, pooled], 'float', 'prompt'),
    timeIds: b.input('time_ids', [batch, count], 'f32', 'prompt'),
  };
}

/**
 * The network alone. Symbols: `batch`, `height` and `width` (of latents), `tokens`, and for SDXL `timeIds`.
 *
 * Inputs are named as diffusers names them: `sample` [batch, height, width, inChannels], `timestep` [batch],
 * `encoder_hidden_states` [batch, tokens, crossAttentionDim]; with `additionEmbed` also `text_embeds` and
 * `time_ids`; with `timeCondProjDim` also `timestep_cond`; with `numClassEmbeds` also `class_labels` [batch]. Output: `output` [batch, height, width, outChannels].
 */
export function buildUNet2DCondition(config: UNet2DConditionConfig): Graph {
  const b = new GraphBuilder('unet');
  const [batch, height, width, tokens] = ['batch', 'height', 'width', 'tokens'].map(symbol);
  const { additionEmbed, timeCondProjDim, numClassEmbeds } = config;
  const output = unet2DCondition(b, config, {
    sample: b.input('sample', [batch, height, width, config.inChannels], 'float', 'latent'),
    timestep: b.input('timestep', [batch], 'f32', 'step'),
    encoderHiddenStates: b.input(
      'encoder_hidden_states',
      [batch, tokens, config.crossAttentionDim],
      'float',
      'prompt',
    ),
    ...(additionEmbed ? { added: addedInputs(b, batch, additionEmbed) } : {}),
    ...(timeCondProjDim === null
      ? {}
      : { timestepCond: b.input('timestep_cond', [batch, timeCondProjDim], 'float', 'prompt') }),
    ...(numClassEmbeds === null ? {} : { classLabels: b.input('class_labels', [batch], 'i32', 'prompt') }),
  });
  b.output('output', output);
  return b.build();
}
