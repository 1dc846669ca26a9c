/**
 * @file The graph of one denoising step: scale the latents, run the network, guide, step the scheduler.
 */

import { GraphBuilder } from '../../graph/builder.ts';
import type { Graph } from '../../graph/graph.ts';
import type { ValueId } from '../../graph/op.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { FreeUScales } from '../../models/blocks/unet-blocks.ts';
import { unet2DCondition } from '../../models/unet2d-condition.ts';
import { coefficientColumns, REPAINT_SLOTS } from '../../schedulers/coefficients.ts';
import { mulDims, symbol } from '../../tensor/shape.ts';
import type { ControlStructure } from '../control/control-graph.ts';
import { CONTROL } from '../control/control-part.ts';
import { PIXART } from '../families/pixart-part.ts';
import { guidanceRows, type GuidanceKinds } from '../guidance/guidance-rows.ts';
import { IMAGE_PROMPTS } from '../ip-adapter/image-prompts-part.ts';
import type { ImagePromptStructure } from '../ip-adapter/image-prompt-graph.ts';
import { foldPerturbed, PERTURBED_ROWS } from '../guidance/perturbed-graph.ts';
import { isPixArt, latentGranularity, latentModelOf, type DenoiserConfig } from './denoiser-config.ts';

/** What decides the structure of the step. */
export interface DenoiseStructure extends GuidanceKinds {
  /** Whether guidance rescale may be used. */
  readonly rescale: boolean;
  /** State slots of the scheduler. */
  readonly slots: number;
  /** Whether the scheduler draws noise. */
  readonly noise: boolean;
  /** Micro-conditioning numbers of SDXL's UNets: 6, or 5 for the refiner; 0 for other UNets. */
  readonly microConditions: number;
  /** Whether latents outside a mask are led along the image's own (`schedulers/repaint.ts`). Default false. */
  readonly repaint?: boolean;
  /** Whether each image has a schedule of its own, and its own rows of the coefficient table. Default false. */
  readonly ownSchedules?: boolean;
  /** The ControlNets that control the UNet. Default none. */
  readonly controls?: readonly ControlStructure[];
  /** FreeU's factors for the first up blocks. Default none. */
  readonly freeU?: readonly FreeUScales[] | undefined;
  /** The image prompts, one for each IP-Adapter. Default none. */
  readonly imagePrompts?: readonly ImagePromptStructure[];
}

/** Slots of the state: the scheduler's, and what repainting adds. */
export function stateSlots({ slots, repaint = false }: DenoiseStructure): number {
  return slots + (repaint ? REPAINT_SLOTS : 0);
}

/**
 * Symbols: images, height, width (of the latents, in units of `latentGranularity`), tokens (of the text), steps (rows of the
 * coefficient table).
 * Inputs: state [slots, images, height, width, channels], coefficients, row [images], noise, timestep [batch], and
 * the network's prompt inputs, with batch = images times the blocks of `guidanceRows`. A UNet with
 * more input than output channels (inpainting) takes the rest from condition [batch, height, width, channels].
 * ControlNets read what `controlResiduals` says, IP-Adapters what `imagePrompts` says, perturbed-attention guidance what
 * `foldPerturbed` says. With `ownSchedules` the table holds rows for all steps of each image; with `repaint` it holds two
 * rows a step, and the step reads its row from pixelRow [images * height * width].
 * Output: the next state.
 */
export function denoiseGraph(config: DenoiserConfig, structure: DenoiseStructure): Graph {
  const { guided, perturbed, rescale, noise, repaint = false, ownSchedules = false } = structure;
  const slots = stateSlots(structure);
  const b = new GraphBuilder('denoise');
  const copies = guidanceRows(structure).length;
  const [images, tokens] = [symbol('images'), symbol('tokens')];
  const granularity = latentGranularity(config);
  const [height, width] = [mulDims(granularity, symbol('height')), mulDims(granularity, symbol('width'))];
  const batch = mulDims(copies, images);
  const { inChannels, outChannels } = latentModelOf(config);
  const latents = [images, height, width, outChannels];

  const state = b.input('state', [slots, ...latents], 'f32', 'latent');
  const coefficients = b.input(
    'coefficients',
    [mulDims(repaint ? 2 : 1, ownSchedules ? images : 1, symbol('steps')), coefficientColumns(slots).count],
    'f32',
    'latent',
  );
  const row = b.input('row', [images], 'i32', 'latent');
  const timestep = b.input('timestep', [batch], 'f32', 'step');
  const scaled = b.op('modelInput', 'model_input', { state, coefficients, row }, { slots, copies });
  const more = inChannels - outChannels;
  const sample =
    more > 0
      ? b.concat(scaled, b.input('condition', [batch, height, width, more], 'float', 'latent'), 'model_input')
      : scaled;
  const text = b.input('encoder_hidden_states', [batch, tokens, config.crossAttentionDim], 'float', 'prompt');
  const inputs = { timestep, encoderHiddenStates: text, sample };
  const output = isPixArt(config)
    ? PIXART.loaded.pixArtOutput(b, config, inputs)
    : unetOutput(b, config, { ...inputs, scaled }, structure);
  const blocks = guided && perturbed ? foldPerturbed(b, output, images) : output;
  const guidedOutput =
    copies > 1 ? b.op('guidance', 'guidance', { output: blocks, coefficients, row }, { rescale }) : output;
  const next = b.op(
    'schedulerStep',
    'scheduler_step',
    {
      state,
      output: guidedOutput,
      coefficients,
      row: repaint ? b.input('pixelRow', [mulDims(images, height, width)], 'i32', 'latent') : row,
      ...(noise && { noise: b.input('noise', latents, 'f32', 'latent') }),
    },
    { slots },
  );
  b.output('state', next, 'state');
  return b.build();
}

/** What both kinds of networks read. */
export interface NetworkInputs {
  readonly sample: ValueId;
  readonly timestep: ValueId;
  readonly encoderHiddenStates: ValueId;
}

/** What a UNet predicts; its other inputs are declared here. */
function unetOutput(
  b: GraphBuilder,
  config: UNet2DConditionConfig,
  {
    sample,
    timestep,
    encoderHiddenStates,
    scaled,
  }: NetworkInputs & {
    /** The latents alone, for ControlNets. */
    readonly scaled: ValueId;
  },
  { microConditions, controls = [], perturbed, freeU, imagePrompts: prompts = [] }: DenoiseStructure,
): ValueId {
  const [batch] = b.shapeOf(scaled);
  const added = config.additionEmbed;
  const shared = {
    timestep,
    encoderHiddenStates,
    ...(added && {
      added: {
        textEmbeds: b.input(
          'text_embeds',
          [batch, added.inputDim - microConditions * added.timeEmbedDim],
          'float',
          'prompt',
        ),
        timeIds: b.input('time_ids', [batch, microConditions], 'f32', 'prompt'),
      },
    }),
  };
  return unet2DCondition(b, config, {
    ...shared,
    sample,
    ...(controls.length > 0 && {
      control: CONTROL.loaded.controlResiduals(b, controls, { ...shared, sample: scaled }),
    }),
    freeU,
    extras: {
      images: prompts.length > 0 ? IMAGE_PROMPTS.loaded.imagePrompts(b, config, prompts, batch) : new Map(),
      ...(perturbed && {
        perturbed: {
          blocks: new Set(perturbed),
          rows: b.input(PERTURBED_ROWS, [batch, 1], 'f32', 'latent'),
        },
      }),
    },
    ...(config.timeCondProjDim !== null && {
      timestepCond: b.input('timestep_cond', [batch, config.timeCondProjDim], 'float', 'prompt'),
    }),
    ...(config.numClassEmbeds !== null && {
      classLabels: b.input('class_labels', [batch], 'i32', 'prompt'),
    }),
  });
}
