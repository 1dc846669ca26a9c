/** @file StableDiffusionPipeline's conditioning (SD 1.x and 2.x): one text encoder. */

import { OptionError } from '../errors.ts';
import type { Conditioner, EncodedPrompts, PromptEmbedding } from './conditioning.ts';
import type { ProgramOptions } from './network.ts';
import { textList, type CheckedOptions, type Tensor } from './options.ts';
import type { PromptEncoder } from './text-encoder.ts';

/** The rows of a batch of embeddings [prompts, tokens, channels]. */
export function rowsOf(tensor: Tensor): PromptEmbedding[] {
  const [count = 0, ...rest] = tensor.shape;
  const length = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: count }, (_, i) => ({
    hidden: tensor.data.subarray(i * length, (i + 1) * length),
  }));
}

/** Conditioning of StableDiffusionPipeline (diffusers pipelines/stable_diffusion/pipeline_stable_diffusion.py). */
export class StableDiffusionConditioner implements Conditioner {
  readonly microConditions = 0;
  readonly #encoder: PromptEncoder;

  constructor(encoder: PromptEncoder) {
    this.#encoder = encoder;
  }

  /** clipSkip keeps the final norm and never applies to negative prompts, as in diffusers. */
  async encode(options: CheckedOptions, guided: boolean, programs: ProgramOptions): Promise<EncodedPrompts> {
    const truncated: string[] = [];
    const encodeAll = async (texts: readonly string[], skip: number): Promise<PromptEmbedding[]> => {
      const embeddings: PromptEmbedding[] = [];
      for (const text of texts) {
        const encoded = await this.#encoder.encode(text, { skip, normed: true }, programs);
        if (encoded.truncated !== undefined) truncated.push(encoded.truncated);
        embeddings.push({ hidden: encoded.hidden });
      }
      return embeddings;
    };
    const { prompt, promptEmbeds, negativePrompt = '', negativePromptEmbeds, clipSkip = 0 } = options;
    const prompts = typeof prompt === 'string' ? [prompt] : (prompt ?? []);
    const positive = promptEmbeds ? rowsOf(promptEmbeds) : await encodeAll(prompts, clipSkip);
    const count = positive.length;
    const negative = !guided
      ? []
      : negativePromptEmbeds
        ? rowsOf(negativePromptEmbeds)
        : await encodeAll(textList('negativePrompt', negativePrompt, count), 0);
    if (guided && (negative.length !== count || negative[0]?.hidden.length !== positive[0]?.hidden.length))
      throw new OptionError('it does not have the shape of promptEmbeds', {
        field: 'negativePromptEmbeds',
        remedy: 'Give embeddings of as many prompts and tokens',
      });
    const tokens = (positive[0]?.hidden.length ?? 0) / this.#encoder.config.hiddenSize;
    return { tokens, positive, negative, truncated };
  }

  inputs(): Readonly<Record<string, Float32Array>> {
    return {};
  }

  dispose(): void {
    this.#encoder.dispose();
  }
}
