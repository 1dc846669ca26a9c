/** @file StableDiffusionXLPipeline's conditioning: two text encoders, pooled text, and sizes as numbers. */

import { OptionError } from '../errors.ts';
import { stack, type Conditioner, type EncodedPrompts, type PromptEmbedding } from './conditioning.ts';
import type { ProgramOptions } from './network.ts';
import { textList, type CheckedOptions, type Tensor } from './options.ts';
import { rowsOf } from './stable-diffusion.ts';
import type { EncodedText, PromptEncoder } from './text-encoder.ts';

/** [tokens, a] and [tokens, b] side by side: [tokens, a + b]. */
function joinChannels(parts: readonly EncodedText[]): Float32Array {
  const tokens = parts[0]?.tokens ?? 0;
  return stack(
    Array.from({ length: tokens }, (_, t) =>
      stack(
        parts.map(({ hidden }) =>
          hidden.subarray((t * hidden.length) / tokens, ((t + 1) * hidden.length) / tokens),
        ),
      ),
    ),
  );
}

/** Conditioning of StableDiffusionXLPipeline (diffusers pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py). */
export class StableDiffusionXLConditioner implements Conditioner {
  readonly microConditions = 6;
  readonly #encoders: readonly PromptEncoder[];
  readonly #forceZeros: boolean;

  /**
   * @param encoders text_encoder and text_encoder_2, the last one with projection
   * @param forceZeros model_index.json's force_zeros_for_empty_prompt: a missing negative prompt becomes zeros
   */
  constructor(encoders: readonly PromptEncoder[], forceZeros: boolean) {
    this.#encoders = encoders;
    this.#forceZeros = forceZeros;
  }

  /** Hidden states come from the layer before the last, without the final norm; clipSkip counts from there. */
  async encode(options: CheckedOptions, guided: boolean, programs: ProgramOptions): Promise<EncodedPrompts> {
    const truncated: string[] = [];
    const encodeOne = async (texts: readonly string[], skip: number): Promise<PromptEmbedding> => {
      const parts: EncodedText[] = [];
      for (const [i, encoder] of this.#encoders.entries()) {
        const text = texts[i] ?? '';
        const part = await encoder.encode(text, { skip: skip + 1, normed: false }, programs);
        if (part.truncated !== undefined) truncated.push(part.truncated);
        parts.push(part);
      }
      const pooled = parts.at(-1)?.pooled;
      return { hidden: joinChannels(parts), ...(pooled && { pooled }) };
    };
    const encodeAll = async (
      first: readonly string[],
      second: readonly string[],
      skip: number,
    ): Promise<PromptEmbedding[]> => {
      const embeddings: PromptEmbedding[] = [];
      for (const [i, text] of first.entries())
        embeddings.push(await encodeOne([text, second[i] ?? text].slice(-this.#encoders.length), skip));
      return embeddings;
    };

    const { prompt, prompt2, clipSkip = 0, promptEmbeds, pooledPromptEmbeds } = options;
    const prompts = typeof prompt === 'string' ? [prompt] : (prompt ?? []);
    const positive = promptEmbeds
      ? withPooled(promptEmbeds, pooledPromptEmbeds, 'pooledPromptEmbeds')
      : await encodeAll(prompts, textList('prompt2', prompt2 || prompts, prompts.length), clipSkip);
    const channels = this.#encoders.reduce((sum, encoder) => sum + encoder.config.hiddenSize, 0);
    const tokens = (positive[0]?.hidden.length ?? 0) / channels;
    return { tokens, positive, negative: guided ? await negatives(this.#forceZeros) : [], truncated };

    async function negatives(forceZeros: boolean): Promise<PromptEmbedding[]> {
      const { negativePrompt, negativePrompt2, negativePromptEmbeds, negativePooledPromptEmbeds } = options;
      if (negativePromptEmbeds)
        return withPooled(negativePromptEmbeds, negativePooledPromptEmbeds, 'negativePooledPromptEmbeds');
      if (negativePrompt === undefined && forceZeros)
        return positive.map(({ hidden, pooled }) => ({
          hidden: new Float32Array(hidden.length),
          ...(pooled && { pooled: new Float32Array(pooled.length) }),
        }));
      const first = textList('negativePrompt', negativePrompt ?? '', positive.length);
      return encodeAll(first, textList('negativePrompt2', negativePrompt2 || first, positive.length), 0);
    }
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
    for (const encoder of this.#encoders) encoder.dispose();
  }
}

function withPooled(hidden: Tensor, pooled: Tensor | undefined, field: string): PromptEmbedding[] {
  const count = hidden.shape[0] ?? 0;
  if (pooled?.shape[0] !== count)
    throw new OptionError('it is needed for every prompt that is given as embeddings', {
      field,
      remedy: 'Give the pooled embeddings that belong to the text embeddings',
    });
  const rows = rowsOf(pooled);
  return rowsOf(hidden).map((row, i) => ({ ...row, ...(rows[i] && { pooled: rows[i].hidden }) }));
}
