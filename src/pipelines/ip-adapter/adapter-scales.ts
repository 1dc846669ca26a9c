/** @file How much IP-Adapters add, by transformer block, as diffusers sets it. */

import { OptionError } from '../../errors.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { transformerBlocks } from '../../models/unet-layers.ts';
import { blockWeights, readNumber } from './block-weights.ts';

/**
 * The scales of each adapter, one for each transformer block.
 * @param scale one for all adapters, or a list; see `IpAdapterScale`
 * @throws OptionError
 */
export function readScales(scale: unknown, adapters: number, unet: UNet2DConditionConfig): number[][] {
  const field = 'scale';
  const list: readonly unknown[] = Array.isArray(scale) ? scale : [scale];
  if (list.length !== adapters)
    throw new OptionError(`there are ${list.length} scales for ${adapters} IP-Adapters`, {
      field,
      remedy: 'Give a scale for each, as a list',
    });
  const blocks = transformerBlocks(unet).map(({ path }) =>
    path.slice(0, path.indexOf('.transformer_blocks')),
  );
  return list.map((one) => {
    if (typeof one !== 'object') return blocks.map(() => readNumber(field, one));
    const weights = blockWeights(field, one, new Set(blocks), 0);
    return blocks.map((path) => weights.get(path) ?? 0);
  });
}
