/** @file A VAE on a device: latents to pictures and back. AutoencoderKL or AutoencoderTiny. */

import type { Program } from '../backends/backend.ts';
import type { Graph } from '../graph/graph.ts';
import type { ImageArray } from '../image/preprocess.ts';
import type { AutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import type { AutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../models/autoencoder-kl.ts';
import { buildAutoencoderTinyDecoder, buildAutoencoderTinyEncoder } from '../models/autoencoder-tiny.ts';
import { toNchw, toNhwc, type ImageShape } from '../tensor/layout.ts';
import { stack } from './conditioning.ts';
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

/** What pictures become: a normal distribution of latents, or with AutoencoderTiny just latents. */
export interface EncodedImages {
  /** [images, channels, height, width] */
  readonly mean: Float32Array;
  /** Standard deviations, of the same shape. */
  readonly std?: Float32Array;
}

/** A VAE's halves. */
export function vaeGraphs({ className, config }: VaeConfig): {
  readonly encoder: Graph;
  readonly decoder: Graph;
} {
  return className === 'AutoencoderKL'
    ? { encoder: buildAutoencoderKLEncoder(config), decoder: buildAutoencoderKLDecoder(config) }
    : { encoder: buildAutoencoderTinyEncoder(config), decoder: buildAutoencoderTinyDecoder(config) };
}

/** A VAE on a device. */
export class Vae {
  readonly kind: VaeConfig;
  /** Pixels to a latent, along each side. */
  readonly scaleFactor: number;
  readonly #network: Network;
  readonly #encoder: Graph;
  readonly #decoder: Graph;
  readonly #encoders = new RecentCache<Program>(1);
  readonly #programs = new RecentCache<Program>(1);

  constructor(network: Network, kind: VaeConfig) {
    this.kind = kind;
    this.#network = network;
    const { className, config } = kind;
    const levels =
      className === 'AutoencoderKL' ? config.blockOutChannels.length : config.numDecoderBlocks.length;
    this.scaleFactor = 2 ** (levels - 1);
    const { encoder, decoder } = vaeGraphs(kind);
    this.#encoder = encoder;
    this.#decoder = decoder;
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

  /** Encodes pictures [images, height, width, 3] in -1..1, one after the other. Latents are not scaled; see `scale`. */
  async encode(
    { count, height, width, channels, data }: ImageArray,
    options: ProgramOptions = {},
  ): Promise<EncodedImages> {
    const program = await this.#encoders.get([height, width].join('x'), () =>
      this.#network.compile(this.#encoder, { batch: 1, height, width }, options),
    );
    const { latentChannels } = this.kind.config;
    const shape = [1, latentChannels, height / this.scaleFactor, width / this.scaleFactor] as const;
    const means: Float32Array[] = [];
    const deviations: Float32Array[] = [];
    const length = height * width * channels;
    for (let image = 0; image < count; image++) {
      options.signal?.throwIfAborted();
      program.write('image', data.subarray(image * length, (image + 1) * length));
      program.run();
      if (this.kind.className === 'AutoencoderTiny') {
        means.push(toNchw(await program.read('latents'), shape));
        continue;
      }
      const [mean, logvar] = await Promise.all([program.read('mean'), program.read('logvar')]);
      means.push(toNchw(mean, shape));
      const std = logvar.map((value) => Math.exp(0.5 * Math.min(Math.max(value, -30), 20)));
      deviations.push(toNchw(std, shape));
    }
    return { mean: stack(means), ...(deviations.length > 0 && { std: stack(deviations) }) };
  }

  /** Encoded latents [images, channels, height, width] as pipelines hold them; `decode` takes it back. */
  scale(latents: Float32Array, [, channels, height, width]: ImageShape): Float32Array {
    const { scalingFactor, shiftFactor } = this.kind.config;
    const statistics = this.kind.className === 'AutoencoderKL' ? this.kind.config.latentStatistics : null;
    const pixels = height * width;
    return latents.map((value, i) => {
      if (!statistics) return (value - (shiftFactor ?? 0)) * scalingFactor;
      const channel = Math.floor(i / pixels) % channels;
      return ((value - statistics.mean[channel]) * scalingFactor) / statistics.std[channel];
    });
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
    this.#encoders.dispose();
    this.#programs.dispose();
    this.#network.dispose();
  }
}
