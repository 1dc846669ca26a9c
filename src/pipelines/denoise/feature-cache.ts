/**
 * @file DeepCache (Ma et al. 2023): the deep features of a UNet change little from step to step, so that a step can take those
 * of an earlier one and run the outermost layers alone: `conv_in` and the last layer of the last up block.
 */

import { GraphError } from '../../errors.ts';
import { removeUnused, type Graph } from '../../graph/graph.ts';
import { isPixArt, type DenoiserConfig } from './denoiser-config.ts';

/** A step that computes deep features and keeps them, or one that takes those that were kept. */
export type FeatureCacheRole = 'fill' | 'use';

/** The features: an output of the graphs that fill the cache, an input of those that use it. */
export const DEEP_FEATURES = 'deep_features';

/** A step's graph with its part in caching; what is not needed any more is gone. */
export function withFeatureCache(
  graph: Graph,
  config: DenoiserConfig,
  role: FeatureCacheRole | undefined,
): Graph {
  if (role === undefined) return graph;
  const place = isPixArt(config)
    ? 'a transformer'
    : `up_blocks.${config.blockOutChannels.length - 1}.resnets.${config.layersPerBlock[0]}`;
  const joined = graph.nodes.findLast((node) => node.kind === 'concat' && node.name === place);
  if (joined?.kind !== 'concat')
    throw new GraphError('has no skip connection where features are kept', {
      file: graph.name,
      field: place,
      remedy: 'Leave cacheInterval out',
    });
  const { a: value } = joined.inputs;
  if (role === 'fill') return { ...graph, outputs: [...graph.outputs, { name: DEEP_FEATURES, value }] };
  return removeUnused({
    ...graph,
    inputs: [...graph.inputs, { name: DEEP_FEATURES, value, rate: 'latent' }],
    nodes: graph.nodes.filter(({ output }) => output !== value),
  });
}
