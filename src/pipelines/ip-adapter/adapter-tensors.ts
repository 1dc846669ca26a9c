/** @file The tensors that a UNet reads of an IP-Adapter's file, off the graph that it takes part in. */

import type { StoredTensor } from '../../graph/graph.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { IpAdapterConfig } from '../../loaders/ip-adapter.ts';
import { readsEmbedding } from '../../models/ip-adapter.ts';
import { denoiseGraph } from '../denoise/denoise-graph.ts';
import { adapterPath } from './image-prompt-graph.ts';

/** Names and shapes as they are in the file. */
export function adapterTensors(unet: UNet2DConditionConfig, adapter: IpAdapterConfig): StoredTensor[] {
  const prefix = `${adapterPath(0)}.`;
  // How many pictures and tokens there are makes no difference to weights.
  const imagePrompts = [
    { adapter, index: 0, images: 1, sequence: readsEmbedding(adapter) ? 0 : 1, masked: false },
  ];
  const { weights } = denoiseGraph(unet, {
    guided: false,
    rescale: false,
    slots: 1,
    noise: false,
    microConditions: 1,
    imagePrompts,
  });
  return weights
    .flatMap(({ parts }) => parts)
    .filter(({ name }) => name.startsWith(prefix))
    .map(({ name, shape }) => ({ name: name.slice(prefix.length), shape }));
}
