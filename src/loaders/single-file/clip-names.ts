/** @file CLIP text encoders inside checkpoints: under transformers' names, or under OpenCLIP's. */
import type { StoredTensor, TensorMap } from './mapped-weights.ts';

/** An encoder under transformers' names; names in the file are `prefix` and then a key. */
export function clipTensors(keys: Iterable<string>, prefix: string): TensorMap {
  const tensors = new Map<string, StoredTensor>();
  for (const key of keys) tensors.set(key, { name: prefix + key });
  return tensors;
}

/** OpenCLIP's layers outside of the blocks. */
const ENDS: Readonly<Record<string, string>> = {
  positional_embedding: 'text_model.embeddings.position_embedding.weight',
  'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
  'ln_final.weight': 'text_model.final_layer_norm.weight',
  'ln_final.bias': 'text_model.final_layer_norm.bias',
};

/** Layers of an OpenCLIP block. */
const BLOCK_PARTS: Readonly<Record<string, string>> = {
  ln_1: 'layer_norm1',
  ln_2: 'layer_norm2',
  'mlp.c_fc': 'mlp.fc1',
  'mlp.c_proj': 'mlp.fc2',
  'attn.out_proj': 'self_attn.out_proj',
};

/**
 * An encoder under OpenCLIP's names: the attention's three projections lie in one tensor, and the projection of the
 * pooled output is a matrix that multiplies from the right.
 */
export function openClipTensors(keys: Iterable<string>, prefix: string): TensorMap {
  const tensors = new Map<string, StoredTensor>();
  for (const key of keys) {
    const name = prefix + key;
    if (Object.hasOwn(ENDS, key)) tensors.set(ENDS[key], { name });
    if (key === 'text_projection')
      tensors.set('text_projection.weight', { name, change: { kind: 'transpose' } });
    // So it is called in SSD-1B's and Segmind-Vega's files, which hold it as the linear layer that it is.
    if (key === 'text_projection.weight') tensors.set(key, { name });
    const block = /^transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)$/.exec(key);
    if (block === null) continue;
    const [, layer, part, kind] = block;
    const path = `text_model.encoder.layers.${layer}`;
    if (part === 'attn.in_proj')
      ['q_proj', 'k_proj', 'v_proj'].forEach((projection, index) =>
        tensors.set(`${path}.self_attn.${projection}.${kind}`, {
          name,
          change: { kind: 'part', index, count: 3 },
        }),
      );
    else if (Object.hasOwn(BLOCK_PARTS, part)) tensors.set(`${path}.${BLOCK_PARTS[part]}.${kind}`, { name });
  }
  return tensors;
}
