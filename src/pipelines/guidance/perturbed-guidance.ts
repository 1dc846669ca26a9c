/**
 * @file Perturbed-attention guidance of a call: which layers it works on, and how strongly at each step
 * (diffusers pipelines/pag/pag_utils.py).
 */

import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { GuidanceCoefficients } from '../../schedulers/coefficients.ts';
import type { StepCoefficients } from '../../schedulers/scheduler.ts';
import { transformerBlocks } from '../../models/unet-layers.ts';
import { stack } from '../prompt/conditioning.ts';
import { forRows, type GuidanceRow } from './guidance-rows.ts';
import type { CheckedOptions } from '../options/call-options.ts';
import { refuse } from '../options/checks.ts';
import {
  GUIDED_ROW,
  PERTURBED_ROW,
  PERTURBED_ROWS,
  PERTURBED_SCALES,
  POSITIVE_ROW,
} from './perturbed-graph.ts';

/** Timestep from which the adaptive scale counts. */
const LAST_TIMESTEP = 1000;

/**
 * The transformer blocks whose self-attention is perturbed; undefined without this guidance.
 * @throws OptionError for a name that fits no layer
 */
export function perturbedBlocks(
  unet: UNet2DConditionConfig,
  { pagScale = 0, pagAppliedLayers = 'mid' }: CheckedOptions,
): readonly string[] | undefined {
  if (pagScale <= 0) return undefined;
  const field = 'pagAppliedLayers';
  if (unet.timeCondProjDim !== null)
    refuse('pagScale', 'a model with a guidance embedding (LCM) is not guided otherwise', 'Leave it out');
  const paths = transformerBlocks(unet)
    .filter(({ onlyCrossAttention }) => !onlyCrossAttention)
    .map(({ path }) => path);
  const blocks = [pagAppliedLayers].flat().flatMap((layer) => {
    const pattern = readPattern(field, layer);
    const found = paths.filter((path) => pattern.test(`${path}.attn1`));
    if (found.length === 0)
      refuse(
        field,
        `${JSON.stringify(layer)} is no self-attention of this UNet`,
        `Use parts of their names, such as mid, down_blocks.1 or ${paths.at(-1) ?? 'none'}`,
      );
    return found;
  });
  return [...new Set(blocks)];
}

function readPattern(field: string, layer: unknown): RegExp {
  if (typeof layer !== 'string')
    return refuse(
      field,
      `${JSON.stringify(layer)} is no name of layers`,
      "Give a string such as 'mid', or a list",
    );
  try {
    return new RegExp(layer);
  } catch {
    return refuse(field, `${JSON.stringify(layer)} is not a regular expression`, "Give a name such as 'mid'");
  }
}

/** How much the difference to the perturbed output counts at a timestep. */
function scaleAt({ pagScale = 0, pagAdaptiveScale = 0 }: CheckedOptions, timestep: number): number {
  return pagAdaptiveScale > 0
    ? Math.max(0, pagScale - pagAdaptiveScale * (LAST_TIMESTEP - timestep))
    : pagScale;
}

/** Guidance as the coefficient table holds it; see `perturbed-graph.ts`. */
export function guidanceCoefficients(
  blocks: readonly GuidanceRow[],
  options: CheckedOptions,
  steps: readonly StepCoefficients[],
): GuidanceCoefficients {
  const { guidanceScale: scale, guidanceRescale } = options;
  if (blocks.includes('negative')) return { scale, rescale: guidanceRescale };
  return { scale: steps.map(({ timestep }) => 1 + scaleAt(options, timestep)), rescale: 0 };
}

/** The inputs of `foldPerturbed` and of perturbed attentions: those of all steps, and those of each step. */
export function perturbedInputs(
  blocks: readonly GuidanceRow[],
  images: number,
  options: CheckedOptions,
  steps: readonly StepCoefficients[],
): {
  readonly all: Readonly<Record<string, Float32Array | Int32Array>>;
  readonly byStep: Readonly<Record<string, Float32Array>>;
} {
  if (!blocks.includes('perturbed')) return { all: {}, byStep: {} };
  const rows = Float32Array.from(forRows(blocks, images, (block) => (block === 'perturbed' ? 1 : 0)));
  const all = { [PERTURBED_ROWS]: rows };
  if (!blocks.includes('negative')) return { all, byStep: {} };
  const rowsOf = (block: GuidanceRow): Int32Array =>
    Int32Array.from(forRows(blocks, images, (_block, image) => blocks.indexOf(block) * images + image));
  const scales = steps.map(({ timestep }) => {
    const scale = scaleAt(options, timestep) / (1 - options.guidanceScale);
    return Float32Array.from(
      forRows(blocks, images, (block) => (block === 'negative' ? [scale, -scale] : [0, 0])).flat(),
    );
  });
  return {
    all: {
      ...all,
      [POSITIVE_ROW]: rowsOf('positive'),
      [PERTURBED_ROW]: rowsOf('perturbed'),
      [GUIDED_ROW]: Int32Array.from({ length: 2 * images }, (_, row) => row),
    },
    byStep: { [PERTURBED_SCALES]: stack(scales) },
  };
}
