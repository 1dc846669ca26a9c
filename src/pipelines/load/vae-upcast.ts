/** @file A VAE in f16 whose sums are in f32: loaded where `vaeUpcast: 'overflow'` asks for it. */

import { holdSumsWide } from '../../graph/wide-sums.ts';
import type { VaeGraphs } from '../image/vae.ts';
import type { Network } from '../network.ts';
import { refuse } from '../options/checks.ts';

/** The graphs with what may overflow in f32. Throws OptionError where the backend's kernels cannot have it. */
export function widenVae({ backend }: Network, { encoder, decoder }: VaeGraphs): VaeGraphs {
  const { dtype, mixesTypes } = backend.target('f16');
  if (dtype === 'f16' && mixesTypes !== true)
    refuse(
      'vaeUpcast',
      `kernels of ${backend.name} keep to one type of activations`,
      "Use dtype: { vae: 'bf16' }, which reaches as far as f32, or leave the option out",
    );
  return { encoder: holdSumsWide(encoder), decoder: holdSumsWide(decoder) };
}
