/** @file StableDiffusionXLPipeline's conditioning: two text encoders, pooled text, and sizes as numbers. */

import { stack, type Conditioner, type EncodedPrompts, type PromptCall } from './conditioning.ts';
import { encodePrompts } from './encode-prompts.ts';
import type { ProgramOptions } from './network.ts';
import type { CheckedOptions } from './options.ts';
import { PromptEmbedder } from './prompt-embedder.ts';
import type { PromptEncoder } from './text-encoder.ts';

/** Conditioning of StableDiffusionXLPipeline (diffusers pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py). */
export class StableDiffusionXLConditioner implements Conditioner {
  readonly microConditions = 6;
  readonly #embedder: PromptEmbedder;
  readonly #forceZeros: boolean;

  /**
   * @param encoders text_encoder and text_encoder_2, the last one with projection
   * @param forceZeros model_index.json's force_zeros_for_empty_prompt: a missing negative prompt becomes zeros
   */
  constructor(encoders: readonly PromptEncoder[], forceZeros: boolean) {
    this.#embedder = new PromptEmbedder(encoders, true);
    this.#forceZeros = forceZeros;
  }

  get encoders(): readonly PromptEncoder[] {
    return this.#embedder.encoders;
  }

  get channels(): number {
    return this.#embedder.channels;
  }

  /** Hidden states come from the layer before the last, without the final norm; clipSkip counts from there. */
  encode(call: PromptCall, programs: ProgramOptions): Promise<EncodedPrompts> {
    const layer = (clipSkip: number) => ({ skip: clipSkip + 1, normed: false });
    const reading = { embedder: this.#embedder, layer, pooled: true, forceZeros: this.#forceZeros };
    return encodePrompts(reading, call, programs);
  }

  /**
   * `time_ids`: original size, crop, target size of each row. diffusers' text-to-image repeats the pair [negative,
   * positive] as a block, so that they alternate over the rows of a batch; with an image all negative ones come first,
   * and take the positive crop. So they do here.
   */
  inputs(options: CheckedOptions, guided: boolean, rows: number): Readonly<Record<string, Float32Array>> {
    const { height, width, image } = options;
    const size = [height, width] as const;
    const { originalSize = size, cropsCoordsTopLeft: crop = [0, 0], targetSize = size } = options;
    const positive = [...originalSize, ...crop, ...targetSize];
    const negative = (): number[] => {
      const { negativeOriginalSize, negativeCropsCoordsTopLeft = [0, 0], negativeTargetSize } = options;
      if (image !== undefined)
        return [...(negativeOriginalSize ?? originalSize), ...crop, ...(negativeTargetSize ?? targetSize)];
      return negativeOriginalSize && negativeTargetSize
        ? [...negativeOriginalSize, ...negativeCropsCoordsTopLeft, ...negativeTargetSize]
        : positive;
    };
    const block = guided ? [negative(), positive] : [positive];
    const stride = image === undefined ? 1 : rows / block.length;
    return {
      time_ids: stack(
        Array.from({ length: rows }, (_, row) =>
          Float32Array.from(block[Math.floor(row / stride) % block.length]),
        ),
      ),
    };
  }

  dispose(): void {
    this.#embedder.dispose();
  }
}
