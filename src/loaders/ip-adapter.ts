/** @file An IP-Adapter's file: which kind it is, read off the names and shapes of its tensors. */

import { FileFormatError } from '../errors.ts';
import type { WeightSource } from './weight-source.ts';

/** How an adapter makes tokens of an encoded picture. */
export type ImageProjection =
  /** Of the image embedding; the first adapters. */
  | { readonly kind: 'image'; readonly embedding: number; readonly tokens: number }
  /** Of each of the encoder's tokens; "full face". */
  | { readonly kind: 'full'; readonly embedding: number }
  /** A resampler (Flamingo's perceiver, Alayrac et al. 2022) of the encoder's tokens; "plus". */
  | {
      readonly kind: 'plus';
      readonly embedding: number;
      readonly tokens: number;
      readonly hidden: number;
      readonly heads: number;
      readonly layers: number;
    };

/** An adapter as its file describes it. */
export interface IpAdapterConfig {
  readonly projection: ImageProjection;
  /** Width of its tokens, the text's: [.., channels]. */
  readonly channels: number;
}

/** Width of the heads of a resampler's attention; files do not say it. */
export const RESAMPLER_HEAD_DIM = 64;
/** Tokens that the first adapters make of a picture; files do not say it. */
const TOKENS = 4;
/** How many names a message lists. */
const SHOWN = 6;

/**
 * What kind of adapter a file holds. Shapes are checked against the whole network when it is loaded.
 * @throws FileFormatError for files that are no IP-Adapters, for FaceID's, and for those of other models
 */
export function readIpAdapter(file: WeightSource, textChannels: number): IpAdapterConfig {
  const names = [...file.names()];
  const has = (name: string): boolean => file.has(`image_proj.${name}`);
  const refuse = (problem: string, remedy: string): never => {
    throw new FileFormatError(problem, { file: file.name, remedy });
  };
  if (
    !names.some((name) => name.startsWith('image_proj.')) ||
    !names.some((name) => name.startsWith('ip_adapter.'))
  )
    refuse(
      `has no tensors image_proj.* and ip_adapter.*; it begins with ${names.slice(0, SHOWN).join(', ') || 'nothing'}`,
      'Give the file of an IP-Adapter, such as ip-adapter_sd15.safetensors',
    );
  if (has('perceiver_resampler.proj_in.weight') || has('norm.weight') !== has('proj.weight'))
    refuse(
      'is an IP-Adapter FaceID, which reads the embeddings of faces and not pictures',
      'Use ip-adapter-plus-face or ip-adapter-full-face, which read pictures of faces',
    );
  const config = { projection: readProjection(file, has), channels: channelsOf(file, has) };
  if (config.channels !== textChannels)
    refuse(
      `makes tokens of ${config.channels} numbers, and the model's text has ${textChannels}`,
      'Use an IP-Adapter that was made for this kind of model',
    );
  return config;
}

/** Shape of a tensor of the projection, with as many axes. */
function shapeOf(file: WeightSource, name: string, axes: number): readonly number[] {
  const { shape } = file.info(`image_proj.${name}`);
  if (shape.length !== axes)
    throw new FileFormatError(`has the shape [${shape.join(', ')}], not one of ${axes} axes`, {
      file: file.name,
      field: `image_proj.${name}`,
      remedy: 'Get the file again; it is no IP-Adapter as it is',
    });
  return shape;
}

function channelsOf(file: WeightSource, has: (name: string) => boolean): number {
  if (has('proj.weight')) return Math.floor(shapeOf(file, 'proj.weight', 2)[0] / TOKENS);
  return has('proj.3.weight') ? shapeOf(file, 'proj.3.weight', 1)[0] : shapeOf(file, 'proj_out.weight', 2)[0];
}

function readProjection(file: WeightSource, has: (name: string) => boolean): ImageProjection {
  if (has('proj.weight'))
    return { kind: 'image', embedding: shapeOf(file, 'proj.weight', 2)[1], tokens: TOKENS };
  if (has('proj.3.weight')) return { kind: 'full', embedding: shapeOf(file, 'proj.0.weight', 2)[0] };
  const [, tokens, hidden] = shapeOf(file, 'latents', 3);
  let layers = 0;
  while (has(`layers.${layers}.0.to_q.weight`)) layers++;
  return {
    kind: 'plus',
    embedding: shapeOf(file, 'proj_in.weight', 2)[1],
    tokens,
    hidden,
    heads: Math.floor(shapeOf(file, 'layers.0.0.to_q.weight', 2)[0] / RESAMPLER_HEAD_DIM),
    layers,
  };
}
