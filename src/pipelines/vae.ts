/** @file A VAE on a device: latents to pictures and back. AutoencoderKL or AutoencoderTiny. */

import type { Program } from '../backends/backend.ts';
import type { Graph } from '../graph/graph.ts';
import type { ImageArray } from '../image/preprocess.ts';
import type { Size } from '../image/resize.ts';
import type { AutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import type { AutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../models/autoencoder-kl.ts';
import { buildAutoencoderTinyDecoder, buildAutoencoderTinyEncoder } from '../models/autoencoder-tiny.ts';
import { toNchw, toNhwc, type ImageShape } from '../tensor/layout.ts';
import { stack } from './conditioning.ts';
import { RecentCache, type Network, type ProgramOptions } from './network.ts';
import { inTiles, type Plane, type Tiling } from './vae-tiles.ts';

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

/** What users may set on a pipeline's VAE; the names are diffusers'. */
export interface VaeSettings {
  /** Its diffusers class. */
  readonly className: VaeConfig['className'];
  /**
   * From now on large pictures go through the VAE in overlapping tiles, which takes less memory and gives a picture that
   * is a little different: AutoencoderKL cuts what is larger than its `sample_size`, AutoencoderTiny what is over 512.
   */
  enableTiling(): void;
  disableTiling(): void;
  /** From now on pictures of a batch go through the VAE one by one, which takes less memory. */
  enableSlicing(): void;
  disableSlicing(): void;
}

/** AutoencoderTiny's tiles, in pixels. */
const TINY_TILE = 512;

/** A VAE on a device. */
export class Vae implements VaeSettings {
  readonly kind: VaeConfig;
  /** Pixels to a latent, along each side. */
  readonly scaleFactor: number;
  readonly #network: Network;
  readonly #encoder: Graph;
  readonly #decoder: Graph;
  readonly #encoders = new RecentCache<Program>(1);
  readonly #programs = new RecentCache<Program>(1);
  #tiling = false;
  #slicing = false;

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

  get className(): VaeConfig['className'] {
    return this.kind.className;
  }

  enableTiling(): void {
    this.#tiling = true;
  }

  disableTiling(): void {
    this.#tiling = false;
  }

  enableSlicing(): void {
    this.#slicing = true;
  }

  disableSlicing(): void {
    this.#slicing = false;
  }

  /** Compiles the decoder for latents of this shape, or for its first tile. */
  async prepare([images, , height, width]: ImageShape, options: ProgramOptions = {}): Promise<Program> {
    const { latent } = this.#tileSizes();
    return this.#isTiled('decode', { height, width })
      ? this.#decoderFor(1, Math.min(height, latent), Math.min(width, latent), options)
      : this.#decoderFor(this.#slicing ? 1 : images, height, width, options);
  }

  /** Decodes latents [images, channels, height, width] as pipelines hold them (scaled). */
  async decode(
    latents: Float32Array,
    shape: ImageShape,
    options: ProgramOptions = {},
  ): Promise<DecodedImages> {
    const [images, channels, height, width] = shape;
    const tiled = this.#isTiled('decode', { height, width });
    const batch = tiled || this.#slicing ? 1 : images;
    const all = toNhwc(this.#unscale(latents, shape), shape);
    const decodeBatch = async (data: Float32Array, size: Size): Promise<Plane> => {
      options.signal?.throwIfAborted();
      const program = await this.#decoderFor(batch, size.height, size.width, options);
      program.write('latents', data);
      program.run();
      const { scaleFactor } = this;
      return {
        height: size.height * scaleFactor,
        width: size.width * scaleFactor,
        channels: this.kind.config.outChannels,
        data: await program.read('image'),
      };
    };
    const length = batch * channels * height * width;
    const planes: Plane[] = [];
    for (let first = 0; first < all.length; first += length) {
      const data = all.subarray(first, first + length);
      const plane = { height, width, channels, data };
      planes.push(
        ...(tiled
          ? await inTiles(plane, this.#tilingOf('decode'), async (tile) => [
              await decodeBatch(tile.data, tile),
            ])
          : [await decodeBatch(data, plane)]),
      );
    }
    const [{ height: pixelHeight, width: pixelWidth, channels: colours }] = planes;
    return { shape: [images, pixelHeight, pixelWidth, colours], data: stack(planes.map(({ data }) => data)) };
  }

  /** Encodes pictures [images, height, width, 3] in -1..1, one after the other. Latents are not scaled; see `scale`. */
  async encode(
    { count, height, width, channels, data }: ImageArray,
    options: ProgramOptions = {},
  ): Promise<EncodedImages> {
    const { latentChannels } = this.kind.config;
    const tiled = this.#isTiled('encode', { height, width });
    const names = this.kind.className === 'AutoencoderTiny' ? ['latents'] : ['mean', 'logvar'];
    const encodePlane = async (plane: Plane): Promise<readonly Plane[]> => {
      options.signal?.throwIfAborted();
      const program = await this.#encoders.get([plane.height, plane.width].join('x'), () =>
        this.#network.compile(this.#encoder, { batch: 1, height: plane.height, width: plane.width }, options),
      );
      program.write('image', plane.data);
      program.run();
      const outputs = await Promise.all(names.map((name) => program.read(name)));
      const size = {
        height: Math.floor(plane.height / this.scaleFactor),
        width: Math.floor(plane.width / this.scaleFactor),
        channels: latentChannels,
      };
      return outputs.map((values) => ({ ...size, data: values }));
    };
    const shape = [1, latentChannels, height / this.scaleFactor, width / this.scaleFactor] as const;
    const means: Float32Array[] = [];
    const deviations: Float32Array[] = [];
    const length = height * width * channels;
    for (let image = 0; image < count; image++) {
      const plane = { height, width, channels, data: data.subarray(image * length, (image + 1) * length) };
      const [mean, logvar] = tiled
        ? await inTiles(plane, this.#tilingOf('encode'), encodePlane)
        : await encodePlane(plane);
      means.push(toNchw(mean.data, shape));
      const std = logvar?.data.map((value) => Math.exp(0.5 * Math.min(Math.max(value, -30), 20)));
      if (std) deviations.push(toNchw(std, shape));
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

  async #decoderFor(batch: number, height: number, width: number, options: ProgramOptions): Promise<Program> {
    return this.#programs.get([batch, height, width].join('x'), () =>
      this.#network.compile(this.#decoder, { batch, height, width }, options),
    );
  }

  /** Sides of a tile. */
  #tileSizes(): { readonly sample: number; readonly latent: number } {
    const { className, config } = this.kind;
    const sample = className === 'AutoencoderTiny' ? TINY_TILE : config.sampleSize[0];
    return { sample, latent: Math.floor(sample / this.scaleFactor) };
  }

  /** Whether something of this size (pixels to encode, latents to decode) is cut. */
  #isTiled(way: 'encode' | 'decode', { height, width }: Size): boolean {
    const { sample, latent } = this.#tileSizes();
    return this.#tiling && Math.max(height, width) > (way === 'encode' ? sample : latent);
  }

  #tilingOf(way: 'encode' | 'decode'): Tiling {
    const { sample, latent } = this.#tileSizes();
    const [tileIn, tileOut] = way === 'encode' ? [sample, latent] : [latent, sample];
    return this.className === 'AutoencoderTiny'
      ? { method: 'painted', overlap: 0.125, tileIn, tileOut }
      : { method: 'averaged', overlap: 0.25, tileIn, tileOut };
  }

  dispose(): void {
    this.#encoders.dispose();
    this.#programs.dispose();
    this.#network.dispose();
  }
}
