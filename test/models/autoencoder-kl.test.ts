/** @file AutoencoderKL: the older names of its attention. */

import { describe, expect, it } from 'vitest';
import { autoencoderKLAliases } from '../../src/models/autoencoder-kl.ts';

describe('autoencoderKLAliases', () => {
  it.each([
    ['to_q.weight', 'query.weight'],
    ['to_k.bias', 'key.bias'],
    ['to_v.weight', 'value.weight'],
    ['to_out.0.bias', 'proj_attn.bias'],
  ])('finds the old name of %s', (now, before) => {
    const path = 'decoder.mid_block.attentions.0';
    expect(autoencoderKLAliases(`${path}.${now}`)).toEqual([`${path}.${before}`]);
  });

  it('leaves all other names alone', () => {
    for (const name of ['encoder.mid_block.attentions.0.group_norm.weight', 'decoder.conv_in.weight'])
      expect(autoencoderKLAliases(name)).toEqual([]);
  });
});
