/** @file The text options of a call become embeddings, as diffusers' `encode_prompt` makes them. */

import type { PromptCall, EncodedPrompts, PromptEmbedding, PromptPairs } from './conditioning.ts';
import type { ProgramOptions } from '../network.ts';
import type { Tensor, TextOptions } from '../options/call-options.ts';
import { refuse, textList } from '../options/checks.ts';
import type { PromptEmbedder, PromptSide } from './prompt-embedder.ts';
import type { HiddenLayer } from './text-encoder.ts';

/** How a pipeline class reads its text encoders. */
export interface TextReading {
  readonly embedder: PromptEmbedder;
  /** The layer that is read with this clipSkip. */
  readonly layer: (clipSkip: number) => HiddenLayer;
  /** Whether pooled embeddings are part of it (SDXL). */
  readonly pooled: boolean;
  /** Whether a missing negative prompt becomes zeros. */
  readonly forceZeros: boolean;
}

/**
 * Encodes the prompts of a call, or takes the embeddings that were given. clipSkip never applies to negative prompts, as
 * in diffusers.
 * @throws OptionError for embeddings that do not fit each other or the model
 */
export async function encodePrompts(
  { embedder, layer, pooled, forceZeros }: TextReading,
  { options, guided, steps, order }: PromptCall,
  programs: ProgramOptions,
): Promise<EncodedPrompts> {
  const { prompt, prompt2, negativePrompt, negativePrompt2, clipSkip = 0, promptSyntax = 'plain' } = options;
  const { channels, encoders } = embedder;
  const given = givenEmbeddings(options, 'promptEmbeds', 'pooledPromptEmbeds', channels, pooled);
  const negativeField = 'negativePromptEmbeds';
  const givenNegative =
    guided && givenEmbeddings(options, negativeField, 'negativePooledPromptEmbeds', channels, pooled);
  const prompts = typeof prompt === 'string' ? [prompt] : (prompt ?? []);
  const count = given?.length ?? prompts.length;
  const zeros = guided && !givenNegative && negativePrompt === undefined && forceZeros;

  const sides: PromptSide[] = [];
  if (!given)
    sides.push({ texts: textsOf('prompt', prompts, prompt2), layer: layer(clipSkip), field: 'prompt' });
  if (guided && !givenNegative && !zeros) {
    const texts = textsOf('negativePrompt', negativePrompt ?? '', negativePrompt2);
    sides.push({ texts, layer: layer(0), field: 'negativePrompt' });
  }
  const tokens = given && tokensOf(given, channels);
  const { moments, truncated, ...embedded } = await embedder.embed(
    sides,
    { syntax: promptSyntax, steps: Math.ceil(steps / order), tokens },
    programs,
  );

  const pairs = moments.map((moment): PromptPairs => {
    const rest = [...moment.sides];
    const positive = given ?? withPooled(rest.shift() ?? [], options.pooledPromptEmbeds);
    if (!guided) return { positive, negative: [] };
    if (givenNegative) return { positive, negative: givenNegative };
    if (zeros) return { positive, negative: positive.map(zerosLike) };
    return { positive, negative: withPooled(rest.shift() ?? [], options.negativePooledPromptEmbeds) };
  });
  const [first] = pairs;
  if (guided && first.negative.length !== count)
    refuse(
      negativeField,
      `it has ${first.negative.length} prompts, not ${count}`,
      `Give embeddings of ${count}`,
    );
  const length = tokens ?? embedded.tokens;
  if (givenNegative && tokensOf(givenNegative, channels) !== length)
    refuse(
      negativeField,
      `it has ${tokensOf(givenNegative, channels)} tokens, the prompt ${length}`,
      'Give embeddings of as many tokens',
    );
  const changes = new Map(moments.slice(1).map(({ from }, i) => [from * order, pairs[i + 1]]));
  return { ...first, tokens: length, truncated, ...(changes.size > 0 && { changes }) };

  /** The texts of each prompt, one for each encoder. An empty second text counts as none, as in diffusers. */
  function textsOf(
    field: string,
    text: string | readonly string[],
    second: typeof text | undefined,
  ): string[][] {
    const firsts = textList(field, text, count);
    const seconds = textList(`${field}2`, second || firsts, count);
    return firsts.map((one, i) => [one, seconds[i]].slice(0, encoders.length));
  }
}

function tokensOf(embeddings: readonly PromptEmbedding[], channels: number): number {
  return (embeddings[0]?.hidden.length ?? 0) / channels;
}

function zerosLike({ hidden, pooled }: PromptEmbedding): PromptEmbedding {
  return {
    hidden: new Float32Array(hidden.length),
    ...(pooled && { pooled: new Float32Array(pooled.length) }),
  };
}

/** Embeddings with pooled ones from the options in place of their own, if there are any. */
function withPooled(
  embeddings: readonly PromptEmbedding[],
  pooled: Tensor | undefined,
): readonly PromptEmbedding[] {
  const rows = pooled && rowsOf(pooled);
  return rows ? embeddings.map((embedding, i) => ({ ...embedding, pooled: rows[i] })) : embeddings;
}

/** Embeddings that were given as options, checked. */
export function givenEmbeddings(
  options: TextOptions,
  field: 'promptEmbeds' | 'negativePromptEmbeds',
  pooledField: 'pooledPromptEmbeds' | 'negativePooledPromptEmbeds',
  channels: number,
  isPooled: boolean,
): PromptEmbedding[] | undefined {
  const { [field]: hidden, [pooledField]: pooled } = options;
  if (hidden === undefined) return undefined;
  const [count, tokens] = hidden.shape;
  if (hidden.shape.length !== 3 || hidden.shape[2] !== channels || count < 1 || tokens < 1)
    refuse(
      field,
      `its shape is [${hidden.shape.join(', ')}]`,
      `Give embeddings of the shape [prompts, tokens, ${channels}]`,
    );
  if (isPooled && pooled === undefined)
    refuse(
      pooledField,
      'it is needed for every prompt that is given as embeddings',
      'Give the pooled embeddings that belong to the text embeddings',
    );
  if (pooled && (pooled.shape.length !== 2 || pooled.shape[0] !== count))
    refuse(
      pooledField,
      `its shape is [${pooled.shape.join(', ')}]`,
      `Give embeddings of the shape [${count}, channels]`,
    );
  return withPooled(
    rowsOf(hidden).map((row) => ({ hidden: row })),
    pooled,
  ).slice();
}

/** The rows of a batch. */
export function rowsOf({ shape, data }: Tensor): Float32Array[] {
  const [count] = shape;
  const length = data.length / count;
  return Array.from({ length: count }, (_, i) => data.subarray(i * length, (i + 1) * length));
}
