/**
 * @file IP-Adapters (Ye et al. 2023): image prompts as tokens that a UNet's cross-attentions look at beside the text
 * (diffusers models/embeddings.py: ImageProjection, IPAdapterFullImageProjection, IPAdapterPlusImageProjection).
 */

import type { GraphBuilder } from '../graph/builder.ts';
import type { ValueId } from '../graph/op.ts';
import { RESAMPLER_HEAD_DIM, type ImageProjection, type IpAdapterConfig } from '../loaders/ip-adapter.ts';
import type { ImageAttention } from './blocks/attention-extras.ts';
import { concatTokens, learnedTokens } from './blocks/token-rows.ts';
import { transformerBlocks, type UNetLayersConfig } from './unet-layers.ts';

/** Epsilon of every norm here; torch's default. */
const EPS = 1e-5;
/** Whether an adapter reads the image embedding [rows, embedding], not the encoder's tokens [rows, tokens, embedding]. */
export function readsEmbedding({ projection }: IpAdapterConfig): boolean {
  return projection.kind === 'image';
}

/** `FeedForward` with a plain GELU, stored at these two paths. */
function geluMlp(
  b: GraphBuilder,
  x: ValueId,
  [first, second]: readonly [string, string],
  [inner, channels]: readonly [number, number],
  bias: boolean,
): ValueId {
  const h = b.activate(b.linear(x, first, { channels: inner, bias }), 'gelu', first);
  return b.linear(h, second, { channels, bias });
}

/** One layer of the resampler: the latents attend to the picture's tokens and themselves. */
function resamplerLayer(
  b: GraphBuilder,
  x: ValueId,
  latents: ValueId,
  path: string,
  { hidden, heads }: ImageProjection & { kind: 'plus' },
): ValueId {
  const inner = heads * RESAMPLER_HEAD_DIM;
  const plain = (value: ValueId, name: string, channels: number): ValueId =>
    b.linear(value, name, { channels, bias: false });
  const normed = b.layerNorm(latents, `${path}.0.norm2`, { eps: EPS });
  const both = concatTokens(b, b.layerNorm(x, `${path}.0.norm1`, { eps: EPS }), normed, `${path}.0`);
  const q = plain(normed, `${path}.0.to_q`, inner);
  const kv = plain(both, `${path}.0.to_kv`, 2 * inner);
  const attended = b.op(
    'attention',
    `${path}.0`,
    { q, k: kv, v: kv },
    {
      heads,
      headDim: RESAMPLER_HEAD_DIM,
      causal: false,
      scale: 1 / Math.sqrt(RESAMPLER_HEAD_DIM),
      offsets: [0, 0, inner],
    },
  );
  const h = b.add(plain(attended, `${path}.0.to_out`, hidden), latents, `${path}.0`);
  const wide = b.layerNorm(h, `${path}.1.0`, { eps: EPS });
  const out = geluMlp(b, wide, [`${path}.1.1`, `${path}.1.3`], [4 * hidden, hidden], false);
  return b.add(out, h, `${path}.1`);
}

/**
 * The tokens of encoded pictures.
 * @param encoded [rows, embedding] or [rows, tokens, embedding]; see `readsEmbedding`
 * @param zeros [rows] i32, all 0
 * @returns [rows, tokens, channels]
 */
export function imageTokens(
  b: GraphBuilder,
  { projection, channels }: IpAdapterConfig,
  encoded: ValueId,
  zeros: ValueId,
): ValueId {
  const path = 'image_proj';
  if (projection.kind === 'image') {
    const [rows = 1] = b.shapeOf(encoded);
    const { tokens } = projection;
    const wide = b.linear(encoded, `${path}.proj`, { channels: tokens * channels });
    return b.layerNorm(b.reshape(wide, [rows, tokens, channels], path), `${path}.norm`, { eps: EPS });
  }
  if (projection.kind === 'full') {
    const sizes = [projection.embedding, channels] as const;
    const h = geluMlp(b, encoded, [`${path}.proj.0`, `${path}.proj.2`], sizes, true);
    return b.layerNorm(h, `${path}.proj.3`, { eps: EPS });
  }
  const { tokens, hidden, layers } = projection;
  const x = b.linear(encoded, `${path}.proj_in`, { channels: hidden });
  const stored = { tokens, channels: hidden, stored: [1, tokens, hidden] };
  let latents = learnedTokens(b, `${path}.latents`, stored, zeros);
  for (let i = 0; i < layers; i++) latents = resamplerLayer(b, x, latents, `${path}.layers.${i}`, projection);
  return b.layerNorm(b.linear(latents, `${path}.proj_out`, { channels }), `${path}.norm_out`, { eps: EPS });
}

/** What one adapter adds to a UNet's cross-attentions, by transformer block. */
export function imageAttentions(
  config: UNetLayersConfig,
  adapter: {
    readonly tokens: ValueId;
    readonly path: string;
    readonly scales: ValueId;
    readonly firstColumn: number;
    /** The input that masks it in a block; default not masked. */
    readonly maskOf?: ((block: string) => string) | undefined;
  },
): Map<string, ImageAttention> {
  const { tokens, path, scales, firstColumn, maskOf } = adapter;
  // Files count all attentions of the UNet; the odd ones are those that look at the text.
  return new Map(
    transformerBlocks(config).map((block, i): [string, ImageAttention] => [
      block.path,
      {
        tokens,
        path: `${path}.ip_adapter.${2 * i + 1}`,
        scales,
        column: firstColumn + i,
        mask: maskOf?.(block.path),
      },
    ]),
  );
}
