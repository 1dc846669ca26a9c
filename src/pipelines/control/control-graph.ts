/** @file ControlNets as part of the denoising step's graph, beside the UNet that they control. */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import {
  conditioningFactor,
  controlNet,
  residualCount,
  type ControlNetInputs,
} from '../../models/controlnet.ts';
import type { ControlResiduals } from '../../models/unet2d-condition.ts';
import { mulDims } from '../../tensor/shape.ts';

/** What decides the structure of one net's part. */
export interface ControlStructure {
  readonly config: ControlNetConfig;
  /** Which of the model's nets it is. */
  readonly index: number;
}

/** Where the weights of each net are, in a graph and in the weights of its network. */
export function controlPath(net: number): string {
  return `controlnet.${net}`;
}

/** Input: the picture of a call's net, [batch, pixel height, pixel width, channels], given with the prompt. */
export function controlImageInput(net: number): string {
  return `control_image.${net}`;
}

/** Input: the weights of all residuals of all nets, [batch, columns] at every step. */
export const CONTROL_SCALES = 'control_scales';

/** Appends the nets. Their pictures are read at the rate of prompts, so that what is computed of them alone is not repeated. */
export function controlResiduals(
  b: GraphBuilder,
  nets: readonly ControlStructure[],
  inputs: Omit<ControlNetInputs, 'image'>,
): ControlResiduals[] {
  const [batch = 1, height = 1, width = 1] = b.shapeOf(inputs.sample);
  const counts = nets.map(({ config }) => residualCount(config));
  const columns = counts.reduce((sum, count) => sum + count, 0);
  const scales = b.input(CONTROL_SCALES, [batch, columns], 'f32', 'step');
  let firstColumn = 0;
  return nets.map(({ config, index }, net) => {
    const factor = conditioningFactor(config);
    const shape = [batch, mulDims(factor, height), mulDims(factor, width), config.conditioningChannels];
    const image = b.input(controlImageInput(net), shape, 'float', 'prompt');
    const values = b.within(controlPath(index), () => controlNet(b, config, { ...inputs, image }));
    const residuals = { values, scales, firstColumn };
    firstColumn += counts[net];
    return residuals;
  });
}
