/** @file Cases of attention: every head size in use, causal masks, biases, odd token counts, fused QKV, and SD1.5's shapes. */

import { ACCUMULATION, activation, sameAs, type CaseOf, type NmseBounds } from './case.ts';

interface AttentionCase {
  readonly batch?: number;
  readonly queries: number;
  /** Default: as many as queries. */
  readonly keys?: number;
  readonly heads: number;
  readonly headDim: number;
  readonly causal?: boolean;
  /** `qkv`: one value holds all three; `kv`: keys and values share one. */
  readonly fused?: 'qkv' | 'kv';
  /** Along batch, keys, queries and heads: which of the bias's axes are more than 1; the keys' always is. */
  readonly bias?: { readonly batch?: true; readonly queries?: true; readonly heads?: true };
  /** Default: 1 / sqrt(headDim). */
  readonly scale?: number;
  readonly nmse?: NmseBounds;
  readonly bench?: boolean;
}

function attentionCase(name: string, options: AttentionCase): CaseOf<'attention'> {
  const {
    batch = 2,
    queries,
    keys = queries,
    heads,
    headDim,
    causal = false,
    fused,
    bias,
    scale = 1 / Math.sqrt(headDim),
    nmse = ACCUMULATION,
    bench = false,
  } = options;
  const width = heads * headDim;
  const inputs = {
    none: {
      q: activation([batch, queries, width]),
      k: activation([batch, keys, width]),
      v: activation([batch, keys, width]),
    },
    kv: {
      q: activation([batch, queries, width]),
      k: activation([batch, keys, 2 * width]),
      v: sameAs('k'),
    },
    qkv: { q: activation([batch, queries, 3 * width]), k: sameAs('q'), v: sameAs('q') },
  }[fused ?? 'none'];
  const offsets = ({ none: [0, 0, 0], kv: [0, 0, width], qkv: [0, width, 2 * width] } as const)[
    fused ?? 'none'
  ];
  return {
    name: `attention/${name}`,
    kind: 'attention',
    inputs: {
      ...inputs,
      ...(bias && {
        bias: activation(
          [bias.batch ? batch : 1, keys, bias.queries ? queries : 1, bias.heads ? heads : 1],
          3,
        ),
      }),
    },
    attrs: { heads, headDim, causal, scale, offsets },
    nmse,
    bench,
  };
}

const correctness = [
  ...[8, 16, 24, 40, 48, 64, 72, 80, 96, 128, 160].map((headDim) =>
    attentionCase(`head of ${headDim}`, { queries: 33, keys: 41, heads: 2, headDim }),
  ),
  // No published model has such heads, but small ones for tests do.
  ...[1, 3, 6, 12].map((headDim) =>
    attentionCase(`head of ${headDim}`, { queries: 9, keys: 13, heads: 3, headDim }),
  ),
  attentionCase('head of 5, fused QKV, causal, bias', {
    queries: 11,
    heads: 2,
    headDim: 5,
    fused: 'qkv',
    causal: true,
    bias: { batch: true, queries: true, heads: true },
  }),
  // Enough workgroups for the widest tiles.
  ...[24, 40, 64, 80].map((headDim) =>
    attentionCase(`32 heads of ${headDim}`, { queries: 133, keys: 77, heads: 32, headDim }),
  ),
  attentionCase('head of 512', { batch: 1, queries: 48, heads: 1, headDim: 512 }),
  // Weights of later keys are far above those of the first.
  ...[24, 200].map((headDim) =>
    attentionCase(`head of ${headDim}, steep`, {
      batch: 1,
      queries: 32,
      keys: 140,
      heads: 1,
      headDim,
      fused: 'kv',
      scale: 4,
      nmse: { f32: 1e-8, f16: 1e-3 },
    }),
  ),
  attentionCase('self, 256 tokens', { queries: 256, heads: 2, headDim: 48 }),
  attentionCase('self, 64 tokens', { queries: 64, heads: 4, headDim: 40 }),
  attentionCase('cross, 77 keys', { queries: 65, keys: 77, heads: 3, headDim: 48 }),
  attentionCase('cross, 154 keys', { queries: 16, keys: 154, heads: 2, headDim: 64 }),
  attentionCase('one key', { queries: 17, keys: 1, heads: 2, headDim: 40 }),
  attentionCase('one query', { queries: 1, keys: 77, heads: 2, headDim: 64 }),
  attentionCase('one token', { batch: 1, queries: 1, heads: 1, headDim: 8 }),
  attentionCase('odd tokens', { batch: 3, queries: 35, keys: 63, heads: 5, headDim: 24 }),
  attentionCase('causal, 77 tokens', { queries: 77, heads: 3, headDim: 64, causal: true }),
  attentionCase('causal, 5 tokens', { queries: 5, heads: 1, headDim: 8, causal: true }),
  attentionCase('causal, fused QKV', { queries: 77, heads: 2, headDim: 64, causal: true, fused: 'qkv' }),
  attentionCase('fused QKV', { queries: 64, heads: 2, headDim: 48, fused: 'qkv' }),
  attentionCase('fused QKV, odd tokens', { queries: 45, heads: 3, headDim: 40, fused: 'qkv' }),
  attentionCase('fused KV, 77 keys', { queries: 64, keys: 77, heads: 2, headDim: 48, fused: 'kv' }),
  attentionCase('fused KV, head of 160', { queries: 9, keys: 77, heads: 2, headDim: 160, fused: 'kv' }),
  attentionCase('mask', { batch: 3, queries: 70, keys: 120, heads: 2, headDim: 72, bias: { batch: true } }),
  attentionCase('mask, 32 heads', {
    batch: 1,
    queries: 133,
    keys: 77,
    heads: 32,
    headDim: 72,
    fused: 'kv',
    bias: { batch: true },
  }),
  attentionCase('relative positions', {
    batch: 1,
    queries: 51,
    heads: 3,
    headDim: 64,
    fused: 'qkv',
    bias: { queries: true, heads: true },
  }),
  attentionCase('bias of everything, causal', {
    queries: 37,
    heads: 2,
    headDim: 16,
    causal: true,
    bias: { batch: true, queries: true, heads: true },
  }),
  attentionCase('bias of keys alone', { queries: 9, keys: 150, heads: 2, headDim: 8, bias: {} }),
];

const bench = [
  attentionCase('SD1.5 self 64x64', { queries: 4096, heads: 8, headDim: 40, fused: 'qkv', bench: true }),
  attentionCase('SD1.5 self 32x32', { queries: 1024, heads: 8, headDim: 80, fused: 'qkv', bench: true }),
  attentionCase('SD1.5 self 16x16', { queries: 256, heads: 8, headDim: 160, fused: 'qkv', bench: true }),
  attentionCase('SD1.5 cross 64x64', {
    queries: 4096,
    keys: 77,
    heads: 8,
    headDim: 40,
    fused: 'kv',
    bench: true,
  }),
  attentionCase('SDXL self 64x64', { queries: 4096, heads: 10, headDim: 64, fused: 'qkv', bench: true }),
  attentionCase('VAE mid 64x64', { batch: 1, queries: 4096, heads: 1, headDim: 512, bench: true }),
  attentionCase('PixArt self 1024', { queries: 4096, heads: 16, headDim: 72, fused: 'qkv', bench: true }),
  attentionCase('PixArt cross 1024', {
    queries: 4096,
    keys: 120,
    heads: 16,
    headDim: 72,
    fused: 'kv',
    bias: { batch: true },
    bench: true,
  }),
  attentionCase('CLIP', { queries: 77, heads: 12, headDim: 64, causal: true, fused: 'qkv', bench: true }),
];

export const attentionCases: readonly CaseOf<'attention'>[] = [...correctness, ...bench];
