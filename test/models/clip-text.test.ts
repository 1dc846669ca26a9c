/** @file CLIP: which token is pooled, which names its tensors may have, and choosing outputs. */

import { describe, expect, it } from 'vitest';
import { GraphError } from '../../src/errors.ts';
import { checkGraph } from '../../src/graph/graph.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { buildCLIPText, clipTextAliases, pooledTokenIndex } from '../../src/models/clip-text.ts';
import { selectOutputs } from '../../src/models/select-outputs.ts';
import { readJson } from './fixtures.ts';

describe('pooledTokenIndex', () => {
  it('takes the first largest id in files with eos_token_id 2', () => {
    expect(pooledTokenIndex([9, 2, 41, 3, 41, 41], { eosTokenId: 2 })).toBe(2);
  });

  it('takes the first end token otherwise, even below larger ids', () => {
    expect(pooledTokenIndex(Int32Array.of(41, 2, 39, 39), { eosTokenId: 39 })).toBe(2);
  });

  it('takes the first token when there is no end token', () => {
    expect(pooledTokenIndex([41, 2, 5], { eosTokenId: 39 })).toBe(0);
  });
});

describe('buildCLIPText', () => {
  const config = parseCLIPTextConfig(readJson('configs/sdxl-base-1.0/text_encoder_2/config.json'), {
    file: 'test',
  });
  const graph = buildCLIPText(config, { projection: true });

  it('names an output for every layer', () => {
    const names = graph.outputs.map((output) => output.name);
    expect(names).toHaveLength(2 * 33 + 3);
    expect(names).toContain('hidden_states.32');
  });

  it('leaves out layers that the chosen outputs do not need', () => {
    const penultimate = selectOutputs(graph, ['hidden_states.31']);
    checkGraph(penultimate);
    const names = penultimate.weights.flatMap((weight) => weight.parts.map((part) => part.name));
    expect(names.some((name) => name.includes('layers.30.'))).toBe(true);
    expect(names.filter((name) => /layers\.31\.|final_layer_norm|text_projection/.test(name))).toEqual([]);
    expect(penultimate.inputs.map((input) => input.name)).toEqual(['input_ids']);
  });

  it('refuses an output that it does not have', () => {
    expect(() => selectOutputs(graph, ['hidden_states.33'])).toThrow(GraphError);
  });
});

describe('clipTextAliases', () => {
  it('drops the prefix that transformers 5 leaves out, and keeps the projection', () => {
    expect(clipTextAliases('text_model.final_layer_norm.bias')).toEqual(['final_layer_norm.bias']);
    expect(clipTextAliases('text_projection.weight')).toEqual([]);
  });
});
