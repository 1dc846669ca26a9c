/** @file Applies attention weights to a text encoder's output, as stable-diffusion-webui's emphasis "Original" does. */

import { OptionError } from '../../errors.ts';

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/**
 * One chunk's hidden states [tokens, channels] times its tokens' weights, then scaled back to the mean that they had.
 * @throws OptionError where the weights leave nothing to be scaled back
 */
export function applyWeights(hidden: Float32Array, weights: ArrayLike<number>): Float32Array {
  const channels = hidden.length / weights.length;
  const weighted = hidden.map((value, i) => value * weights[Math.floor(i / channels)]);
  const factor = mean(hidden) / mean(weighted);
  if (!Number.isFinite(factor))
    throw new OptionError('its weights cancel the whole text', {
      field: 'prompt',
      remedy: 'Leave out words instead of weighing them 0',
    });
  return weighted.map((value) => value * factor);
}
