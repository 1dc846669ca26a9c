/** @file `pipe.encodePrompt`: prompts to embeddings, to be kept, changed, and given to calls in place of prompts. */

import { readSchedule } from '../../text/prompt-tokens.ts';
import { WEBUI } from '../../text/webui-part.ts';
import type { Conditioner, PromptEmbedding } from './conditioning.ts';
import { stack } from './conditioning.ts';
import type { ProgramOptions } from '../network.ts';
import type { Tensor, TextOptions } from '../options/call-options.ts';
import { refuse } from '../options/checks.ts';

/** Options of `encodePrompt`. */
export interface EncodePromptOptions extends TextOptions {
  /** Repeats each embedding. Default 1. */
  readonly numImagesPerPrompt?: number;
  /** Whether negative prompts are encoded too. Default true. */
  readonly doClassifierFreeGuidance?: boolean;
  /** Stops the encoding. */
  readonly signal?: AbortSignal;
}

/** Embeddings under the names that calls take them by. */
export interface PromptEmbeddings {
  /** [prompts, tokens, channels] */
  readonly promptEmbeds: Tensor;
  /** Of the same shape; absent where `doClassifierFreeGuidance` is false. */
  readonly negativePromptEmbeds?: Tensor;
  /** SDXL: [prompts, channels]. */
  readonly pooledPromptEmbeds?: Tensor;
  /** Of the same shape, with `negativePromptEmbeds`. */
  readonly negativePooledPromptEmbeds?: Tensor;
  /** PixArt: [prompts, tokens]. */
  readonly promptAttentionMask?: Tensor;
  /** Of the same shape, with `negativePromptEmbeds`. */
  readonly negativePromptAttentionMask?: Tensor;
}

/** More steps than any call has. */
const ANY_STEPS = 100_000;

/**
 * Encodes prompts as a call would; the options were checked.
 * @throws OptionError for prompts that change from step to step
 */
export async function encodePrompt(
  conditioner: Conditioner,
  options: EncodePromptOptions,
  programs: ProgramOptions,
): Promise<PromptEmbeddings> {
  if (options.promptSyntax === 'webui') await WEBUI.load();
  refuseSchedules(options);
  const { numImagesPerPrompt = 1, doClassifierFreeGuidance: guided = true } = options;
  const { positive, negative } = await conditioner.encode({ options, guided, steps: 1, order: 1 }, programs);
  const batch = (rows: readonly PromptEmbedding[], key: 'hidden' | 'pooled' | 'mask'): Tensor | undefined => {
    const repeated = rows.flatMap((row) => Array.from({ length: numImagesPerPrompt }, () => row[key] ?? []));
    const data = stack(repeated.filter((row) => row instanceof Float32Array));
    if (data.length === 0) return undefined;
    const length = data.length / repeated.length;
    if (key !== 'hidden') return { shape: [repeated.length, length], data };
    return { shape: [repeated.length, length / conditioner.channels, conditioner.channels], data };
  };
  const [promptEmbeds, negativePromptEmbeds] = [batch(positive, 'hidden'), batch(negative, 'hidden')];
  const [pooledPromptEmbeds, negativePooledPromptEmbeds] = [
    batch(positive, 'pooled'),
    batch(negative, 'pooled'),
  ];
  const [promptAttentionMask, negativePromptAttentionMask] = [
    batch(positive, 'mask'),
    batch(negative, 'mask'),
  ];
  if (!promptEmbeds) return refuse('prompt', 'it is an empty list', 'Give a prompt');
  return {
    promptEmbeds,
    ...(negativePromptEmbeds && { negativePromptEmbeds }),
    ...(pooledPromptEmbeds && { pooledPromptEmbeds }),
    ...(negativePooledPromptEmbeds && { negativePooledPromptEmbeds }),
    ...(promptAttentionMask && { promptAttentionMask }),
    ...(negativePromptAttentionMask && { negativePromptAttentionMask }),
  };
}

function refuseSchedules(options: TextOptions): void {
  for (const field of ['prompt', 'prompt2', 'negativePrompt', 'negativePrompt2'] as const)
    for (const text of [options[field] ?? []].flat())
      if (readSchedule(text, options.promptSyntax ?? 'plain', ANY_STEPS, field).length > 1)
        refuse(field, 'it changes from step to step', 'Give it to the call itself');
}
