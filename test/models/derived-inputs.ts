/** @file The inputs of networks that pipelines compute from others, for fixtures that hold what diffusers was given. */

import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parsePixArtTransformerConfig } from '../../src/loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../src/loaders/configs/t5-encoder.ts';
import { pooledTokenIndex } from '../../src/models/clip-text.ts';
import { positionEmbedding } from '../../src/models/pixart-transformer.ts';
import { MASKED } from '../../src/pipelines/prompt/conditioning.ts';
import { t5Inputs } from '../../src/models/t5-encoder.ts';

/** A tensor as the engine lays it out. */
export interface Sample {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

const CONTEXT = { file: 'config.json' };

/** Adds what a network of this config reads besides the inputs of a case. */
export function addDerivedInputs(inputs: Map<string, Sample>, json: unknown): void {
  const ids = inputs.get('input_ids');
  const mask = inputs.get('attention_mask');
  const textMask = inputs.get('encoder_attention_mask');
  if (ids && mask) addT5Inputs(inputs, mask, json);
  else if (ids) inputs.set('pooled_index', pooledIndex(ids, json));
  if (textMask) addPixArtInputs(inputs, textMask, json);
}

function pooledIndex(ids: Sample, json: unknown): Sample {
  const [batch, tokens] = ids.shape;
  const config = parseCLIPTextConfig(json, CONTEXT);
  const rows = Array.from({ length: batch }, (_, i) => ids.data.subarray(i * tokens, (i + 1) * tokens));
  return { shape: [batch], data: Int32Array.from(rows, (row) => pooledTokenIndex(row, config)) };
}

function addT5Inputs(inputs: Map<string, Sample>, mask: Sample, json: unknown): void {
  const tokens = mask.data.length;
  inputs.delete('attention_mask');
  for (const [name, data] of Object.entries(t5Inputs(parseT5EncoderConfig(json, CONTEXT), mask.data)))
    inputs.set(name, { shape: [tokens, data.length / tokens], data });
}

function addPixArtInputs(inputs: Map<string, Sample>, mask: Sample, json: unknown): void {
  const [, height = 0, width = 0] = inputs.get('sample')?.shape ?? [];
  const positions = positionEmbedding(parsePixArtTransformerConfig(json, CONTEXT), height, width);
  inputs.set('pos_embed', { shape: [positions.length], data: positions });
  inputs.delete('encoder_attention_mask');
  inputs.set('encoder_attention_bias', {
    shape: [...mask.shape, 1, 1],
    data: Float32Array.from(mask.data, (seen) => (1 - seen) * MASKED),
  });
}
