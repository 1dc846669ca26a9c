/**
 * @file CLIPTextModel and CLIPTextModelWithProjection (transformers models/clip/modeling_clip.py): the text encoders
 * of Stable Diffusion. Radford et al. 2021.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph, StoredTensor } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { CLIPTextConfig } from '../loaders/configs/clip-text.ts';
import { symbol } from '../tensor/shape.ts';
import { clipEncoderLayer } from './blocks/clip-encoder-layer.ts';

const PREFIX = 'text_model.';
/** The table of all tokens' vectors. */
export const TOKEN_EMBEDDING = `${PREFIX}embeddings.token_embedding.weight`;

/** Options of `buildCLIPText`. */
export interface CLIPTextOptions {
  /** True for CLIPTextModelWithProjection. */
  readonly projection: boolean;
  /** Rows that follow the token embedding's own: learned words, [rows, hiddenSize]. */
  readonly addedTokens?: StoredTensor | undefined;
}

/**
 * The text encoder, with every result that a pipeline may ask for; keep those you need with `selectOutputs`.
 * Symbols: `batch`, `tokens`.
 *
 * Inputs: `input_ids` [batch, tokens] i32, at most maxPositionEmbeddings tokens; `pooled_index` [batch] i32, see
 * `pooledTokenIndex`.
 * Outputs, [batch, tokens, hiddenSize] where n counts from 0, the embeddings, to numHiddenLayers, the last layer:
 * `hidden_states.n` (transformers' `hidden_states[n]`), `normed_hidden_states.n` (after the final norm, for clip
 * skip), `last_hidden_state` (the last of these); `pooler_output` [batch, hiddenSize] and, with a projection,
 * `text_embeds` [batch, projectionDim].
 */
export function buildCLIPText(config: CLIPTextConfig, { projection, addedTokens }: CLIPTextOptions): Graph {
  const b = new GraphBuilder('text_encoder');
  const [batch, tokens] = [symbol('batch'), symbol('tokens')];
  const { hiddenSize } = config;
  const ids = b.input('input_ids', [batch, tokens], 'i32', 'prompt');
  const index = b.input('pooled_index', [batch], 'i32', 'prompt');

  const embeddings = `${PREFIX}embeddings`;
  const own = { name: TOKEN_EMBEDDING, shape: [config.vocabSize, hiddenSize] };
  const table = addedTokens
    ? b.stackedWeight(`${own.name} and added tokens`, [own, addedTokens])
    : b.weight(own.name, own.shape);
  const positions = b.weight(`${embeddings}.position_embedding.weight`, [
    config.maxPositionEmbeddings,
    hiddenSize,
  ]);
  let x = b.op('embedTokens', embeddings, { ids, table, positions }, {});

  const finalNorm = (h: ValueId): ValueId =>
    b.layerNorm(h, `${PREFIX}final_layer_norm`, { eps: config.layerNormEps });
  const emit = (n: number): ValueId => {
    const normed = finalNorm(x);
    b.output(`hidden_states.${n}`, x);
    b.output(`normed_hidden_states.${n}`, normed);
    return normed;
  };
  let last = emit(0);
  for (let i = 0; i < config.numHiddenLayers; i++) {
    x = clipEncoderLayer(b, x, `${PREFIX}encoder.layers.${i}`, config, { causal: true });
    last = emit(i + 1);
  }

  const pooled = b.op('selectToken', 'pooler_output', { x: last, index }, {});
  b.output('last_hidden_state', last);
  b.output('pooler_output', pooled);
  if (projection)
    b.output(
      'text_embeds',
      b.linear(pooled, 'text_projection', { channels: config.projectionDim, bias: false }),
    );
  return b.build();
}

/**
 * The position whose hidden state is the pooled output of one sequence of token ids: the first end token, or for
 * files with `eos_token_id` 2 (transformers before 4.31) the first of the largest id, as transformers does; 0 where
 * there is no end token.
 */
export function pooledTokenIndex(
  ids: ArrayLike<number>,
  { eosTokenId }: Pick<CLIPTextConfig, 'eosTokenId'>,
): number {
  const list = Array.from(ids);
  const eos = eosTokenId === 2 ? Math.max(...list) : eosTokenId;
  return Math.max(0, list.indexOf(eos));
}

/** Other names under which files keep a tensor: CLIPTextModel is saved without `text_model.` by transformers 5. */
export function clipTextAliases(name: string): string[] {
  return name.startsWith(PREFIX) ? [name.slice(PREFIX.length)] : [];
}
