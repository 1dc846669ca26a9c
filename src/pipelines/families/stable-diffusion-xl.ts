/** @file StableDiffusionXLPipeline's conditioning: two text encoders, pooled text, and sizes as numbers. */

import { ClipConditioner } from '../prompt/clip-conditioner.ts';
import { stack } from '../prompt/conditioning.ts';
import type { GuidanceRow } from '../guidance/guidance-rows.ts';
import type { ModelIndex } from '../../loaders/configs/model-index.ts';
import type { CheckedOptions } from '../options/call-options.ts';
import { PromptEmbedder } from '../prompt/prompt-embedder.ts';
import type { HiddenLayer, PromptEncoder } from '../prompt/text-encoder.ts';

/** Hidden states come from the layer before the last, without the final norm; clipSkip counts from there. */
const layer = (clipSkip: number): HiddenLayer => ({ skip: clipSkip + 1, normed: false });

/** Conditioning of StableDiffusionXLPipeline (diffusers pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py). */
export class StableDiffusionXLConditioner extends ClipConditioner {
  readonly microConditions: 5 | 6;

  /**
   * @param encoders text_encoder and text_encoder_2, the last one with projection
   * @param settings of model_index.json: with `forceZerosForEmptyPrompt` a missing negative prompt becomes zeros, with
   * `requiresAestheticsScore` (refiners) the last of the micro-conditions is a score instead of the target size
   */
  constructor(
    encoders: readonly PromptEncoder[],
    settings: Pick<ModelIndex, 'forceZerosForEmptyPrompt' | 'requiresAestheticsScore'>,
  ) {
    super({
      embedder: new PromptEmbedder(encoders, true),
      layer,
      pooled: true,
      forceZeros: settings.forceZerosForEmptyPrompt,
    });
    this.microConditions = settings.requiresAestheticsScore ? 5 : 6;
  }

  /**
   * `time_ids`: original size, crop, and target size or aesthetic score of each row. diffusers' text-to-image repeats
   * the list [negative, positive] as a block, so that they alternate over the rows of a batch; with an image all
   * negative ones come first, and take the positive crop unless there is a score, or with a mask and ControlNets all
   * positive sizes. So they do here.
   */
  inputs(
    options: CheckedOptions,
    blocks: readonly GuidanceRow[],
    images: number,
  ): Readonly<Record<string, Float32Array>> {
    const { height, width, image, maskImage, controlImage } = options;
    const size = [height, width] as const;
    const { originalSize = size, cropsCoordsTopLeft: crop = [0, 0], targetSize = size } = options;
    const { aestheticScore = 6, negativeAestheticScore = 2.5 } = options;
    const scored = this.microConditions === 5;
    const positive = [...originalSize, ...crop, ...(scored ? [aestheticScore] : targetSize)];
    const negative = (): number[] => {
      const { negativeOriginalSize, negativeCropsCoordsTopLeft = [0, 0], negativeTargetSize } = options;
      if (maskImage !== undefined && controlImage !== undefined)
        return [...originalSize, ...crop, ...(scored ? [negativeAestheticScore] : targetSize)];
      if (scored)
        return [
          ...(negativeOriginalSize ?? originalSize),
          ...negativeCropsCoordsTopLeft,
          negativeAestheticScore,
        ];
      if (image !== undefined)
        return [...(negativeOriginalSize ?? originalSize), ...crop, ...(negativeTargetSize ?? targetSize)];
      return negativeOriginalSize && negativeTargetSize
        ? [...negativeOriginalSize, ...negativeCropsCoordsTopLeft, ...negativeTargetSize]
        : positive;
    };
    const block = blocks.map((kind) => (kind === 'negative' ? negative() : positive));
    const rows = blocks.length * images;
    const stride = image === undefined ? 1 : images;
    return {
      time_ids: stack(
        Array.from({ length: rows }, (_, row) =>
          Float32Array.from(block[Math.floor(row / stride) % block.length]),
        ),
      ),
    };
  }
}
