/** @file A VAE on a device: latents in, pictures out. AutoencoderKL or AutoencoderTiny. */

import type { Program } from '../backends/backend.ts';
import type { Graph } from '../graph/graph.ts';
import type { AutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import type { AutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { buildAutoencoderKLDecoder } from '../models/autoencoder-kl.ts';
import { buildAutoencoderTinyDecoder } from '../models/autoencoder-tiny.ts';
import { toNhwc, type ImageShape } from '../tensor/layout.ts';
import { RecentCache, type Network, type ProgramOptions } from './network.ts';

/** A VAE's class and configuration. */
export type VaeConfig =
  | { readonly className: 'AutoencoderKL'; readonly config: AutoencoderKLConfig }
  | { readonly className: 'AutoencoderTiny'; readonly config: AutoencoderTinyConfig };

/** Pixel values [images, height, width, channels], about -1..1. */
export interface DecodedImages {
  readonly shape: readonly [images: number, height: number, width: number, channels: number];
  readonly data: Float32Array;
}

/** A VAE on a device. */
export class Vae {
  readonly kind: VaeConfig;
  /** Pixels to a latent, along each side. */
  readonly scaleFactor: number;
  readonly #network: Network;
  readonly #decoder: Graph;
  readonly #programs = new RecentCache<Program>(1);

  constructor(network: Network, kind: VaeConfig) {
    this.kind = kind;
    this.#network = network;
    const { className, config } = kind;
    const levels =
      className === 'AutoencoderKL' ? config.blockOutChannels.length : config.numDecoderBlocks.length;
    this.scaleFactor = 2 ** (levels - 1);
    this.#decoder =
      className === 'AutoencoderKL' ? buildAutoencoderKLDecoder(config) : buildAutoencoderTinyDecoder(config);
  }

  /** Compiles the decoder for latents of this shape. */
  async prepare([images, , height, width]: ImageShape, options: ProgramOptions = {}): Promise<Program> {
    return this.#programs.get([images, height, width].join('x'), () =>
      this.#network.compile(this.#decoder, { batch: images, height, width }, options),
    );
  }

  /** Decodes latents [images, channels, height, width] as pipelines hold them (scaled). */
  async decode(
    latents: Float32Array,
    shape: ImageShape,
    options: ProgramOptions = {},
  ): Promise<DecodedImages> {
    const program = await this.prepare(shape, options);
    program.write('latents', toNhwc(this.#unscale(latents, shape), shape));
    program.run();
    const [images, , height, width] = shape;
    const { scaleFactor } = this;
    const data = await program.read('image');
    return { shape: [images, height * scaleFactor, width * scaleFactor, this.kind.config.outChannels], data };
  }

  /** The inverse of what pipelines do to encoded latents: (z - shift) * scale, or by channel statistics. */
  #unscale(latents: Float32Array, [, channels, height, width]: ImageShape): Float32Array {
    const { scalingFactor, shiftFactor } = this.kind.config;
    const statistics = this.kind.className === 'AutoencoderKL' ? this.kind.config.latentStatistics : null;
    const pixels = height * width;
    return latents.map((value, i) => {
      const channel = Math.floor(i / pixels) % channels;
      const scaled = statistics
        ? (value * statistics.std[channel]) / scalingFactor + statistics.mean[channel]
        : value / scalingFactor;
      return statistics ? scaled : scaled + (shiftFactor ?? 0);
    });
  }

  dispose(): void {
    this.#programs.dispose();
    this.#network.dispose();
  }
}
