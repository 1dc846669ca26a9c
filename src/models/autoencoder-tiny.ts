/**
 * @file AutoencoderTiny, or TAESD (diffusers models/autoencoders/autoencoder_tiny.py and vae.py): a small, fast
 * stand-in for AutoencoderKL. Its layers are two plain sequences, so tensors are named by their place in them.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { AutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { mulDims, symbol } from '../tensor/shape.ts';

/** relu(x + three convolutions of x) (`AutoencoderTinyBlock`, with equal channels in and out). */
function tinyBlock(b: GraphBuilder, x: ValueId, path: string): ValueId {
  const layer = { channels: b.channelsOf(x), kernel: 3 };
  let h = b.activate(b.conv2d(x, `${path}.conv.0`, layer), 'relu', `${path}.conv.1`);
  h = b.activate(b.conv2d(h, `${path}.conv.2`, layer), 'relu', `${path}.conv.3`);
  h = b.conv2d(h, `${path}.conv.4`, layer);
  return b.activate(b.add(h, x, path), 'relu', `${path}.fuse`);
}

/** Gives the path of each next layer of a sequence. */
function sequence(path: string): () => string {
  let index = 0;
  return () => `${path}.${index++}`;
}

/**
 * Input `image` [batch, height, width, inChannels] in -1..1; output `latents`
 * [batch, height / 8, width / 8, latentChannels] (for four stages; every halving rounds up). Symbols: `batch`,
 * `height`, `width` (of pixels).
 */
export function buildAutoencoderTinyEncoder(config: AutoencoderTinyConfig): Graph {
  const b = new GraphBuilder('vae_encoder');
  const next = sequence('encoder.layers');
  const shape = [symbol('batch'), symbol('height'), symbol('width'), config.inChannels];
  let x = b.affine(b.input('image', shape, 'float', 'latent'), 0.5, 0.5, 'image_to_unit_range');
  config.numEncoderBlocks.forEach((blocks, stage) => {
    const layer = { channels: config.encoderChannels, kernel: 3 };
    x = b.conv2d(x, next(), stage === 0 ? layer : { ...layer, stride: 2, bias: false });
    for (let i = 0; i < blocks; i++) x = tinyBlock(b, x, next());
  });
  b.output('latents', b.conv2d(x, next(), { channels: config.latentChannels, kernel: 3 }));
  return b.build();
}

/**
 * Input `latents` [batch, height, width, latentChannels]; output `image` [batch, 8 height, 8 width, outChannels]
 * (for four stages), about -1..1. Symbols: `batch`, `height`, `width` (of latents).
 */
export function buildAutoencoderTinyDecoder(config: AutoencoderTinyConfig): Graph {
  const b = new GraphBuilder('vae_decoder');
  const next = sequence('decoder.layers');
  const shape = [symbol('batch'), symbol('height'), symbol('width'), config.latentChannels];
  // A soft clamp to -3..3.
  let x = b.affine(b.input('latents', shape, 'float', 'latent'), 1 / 3, 0, 'clamp');
  x = b.affine(b.activate(x, 'tanh', 'clamp'), 3, 0, 'clamp');
  x = b.conv2d(x, next(), { channels: config.decoderChannels, kernel: 3 });
  x = b.activate(x, 'relu', next());
  config.numDecoderBlocks.forEach((blocks, stage) => {
    for (let i = 0; i < blocks; i++) x = tinyBlock(b, x, next());
    if (stage === config.numDecoderBlocks.length - 1) return;
    const [, height = 1, width = 1] = b.shapeOf(x);
    x = b.upsampleNearest(x, mulDims(2, height), mulDims(2, width), next());
    x = b.conv2d(x, next(), { channels: config.decoderChannels, kernel: 3, bias: false });
  });
  x = b.conv2d(x, next(), { channels: config.outChannels, kernel: 3 });
  b.output('image', b.affine(x, 2, -1, 'image_to_full_range'));
  return b.build();
}
