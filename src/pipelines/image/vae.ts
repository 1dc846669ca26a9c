/** @file A VAE on a device: latents to pictures and back. AutoencoderKL or AutoencoderTiny. */

import type { Program } from '../../backends/backend.ts';
import type { Graph } from '../../graph/graph.ts';
import type { ImageArray } from '../../image/preprocess.ts';
import type { Size } from '../../image/resize.ts';
import type { AutoencoderKLConfig } from '../../loaders/configs/autoencoder-kl.ts';
import type { AutoencoderTinyConfig } from '../../loaders/configs/autoencoder-tiny.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../../models/autoencoder-kl.ts';
import { later } from '../../later.ts';
import { toNchw, toNhwc, type ImageShape } from '../../tensor/layout.ts';
import { stack } from '../prompt/conditioning.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { eitherOf, type PlanDemand } from '../../plan/demand.ts';
import type { PhaseOption } from '../../plan/residency.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';
import { TINY_VAE } from './tiny-vae-part.ts';
import { tileSizes, type Plane, type Tiling } from './vae-tiling.ts';

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
export interface VaeGraphs {
  readonly encoder: Graph;
  readonly decoder: Graph;
}

/** A VAE's halves; of an AutoencoderTiny once `TINY_VAE` is loaded. */
export function vaeGraphs({ className, config }: VaeConfig): VaeGraphs {
  if (className === 'AutoencoderKL')
    return { encoder: buildAutoencoderKLEncoder(config), decoder: buildAutoencoderKLDecoder(config) };
  const { buildAutoencoderTinyDecoder, buildAutoencoderTinyEncoder } = TINY_VAE.loaded;
  return { encoder: buildAutoencoderTinyEncoder(config), decoder: buildAutoencoderTinyDecoder(config) };
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
  /** From now on pictures go through it whole. */
  disableTiling(): void;
  /** From now on pictures of a batch go through the VAE one by one, which takes less memory. */
  enableSlicing(): void;
  /** From now on a batch goes through it at once. */
  disableSlicing(): void;
}

const loadTiles = () => later('tiles', () => import('./vae-tiles.ts'));

/** AutoencoderTiny's tiles, in pixels. */
const TINY_TILE = 512;

/** Tiles that are taken for want of memory are no smaller, in pixels. */
const LEAST_TILE = 32;

/** Into the latents, or out of them. */
type Way = 'encode' | 'decode';

/** How much goes through a VAE at once. */
interface Portion {
  /** One picture of a batch after the other. */
  readonly isSliced: boolean;
  /** Sides of tiles, in pixels; undefined for whole pictures. */
  readonly tile: number | undefined;
}

/** What a decoder is compiled for: latents at once, and their size. */
type DecoderBindings = Readonly<Record<'batch' | 'height' | 'width', number>>;

/** A VAE on a device. */
export class Vae implements VaeSettings {
  readonly kind: VaeConfig;
  /** Pixels to a latent, along each side. */
  readonly scaleFactor: number;
  readonly network: Network;
  readonly #encoder: Graph;
  readonly #decoder: Graph;
  readonly #encoders = new RecentCache<Program>(1);
  readonly #programs = new RecentCache<Program>(1);
  #tiling = false;
  #slicing = false;
  /** What memory leaves room for, where that was planned. */
  readonly #planned = new Map<Way, Portion>();

  constructor(network: Network, kind: VaeConfig, { encoder, decoder }: VaeGraphs = vaeGraphs(kind)) {
    this.kind = kind;
    this.network = network;
    const { className, config } = kind;
    const levels =
      className === 'AutoencoderKL' ? config.blockOutChannels.length : config.numDecoderBlocks.length;
    this.scaleFactor = 2 ** (levels - 1);
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
  async prepare(shape: ImageShape, options: ProgramOptions = {}): Promise<Program> {
    return this.#decoderFor(this.#firstDecoder(shape), options);
  }

  /** Begins to compile that decoder's kernels, unless there is one. */
  warm(shape: ImageShape): void {
    const bindings = this.#firstDecoder(shape);
    if (!this.#programs.has(JSON.stringify(bindings))) this.network.warm(this.#decoder, bindings);
  }

  /** What the decoder for latents of this shape, or for its first tile, is compiled for. */
  #firstDecoder([images, , height, width]: ImageShape): DecoderBindings {
    const portion = this.#portion('decode');
    const { latent } = this.#tileSizes(portion);
    return isCut(portion, { height, width }, latent)
      ? { batch: 1, height: Math.min(height, latent), width: Math.min(width, latent) }
      : { batch: portion.isSliced ? 1 : images, height, width };
  }

  /**
   * The ways to decode latents of this shape, or to encode pictures that become such: as it is set up, then with less at
   * once. Tiles halve until they are small.
   */
  options(way: Way, [images, , height, width]: ImageShape): PhaseOption[] {
    const set = this.#setPortion();
    const option = (kind: PhaseOption['kind'], label: string, portion: Portion): PhaseOption => ({
      kind,
      label,
      demands: () => new Map([[this.network.name, [this.#demand(way, images, { height, width }, portion)]]]),
      apply: () => void this.#planned.set(way, portion),
    });
    const what = way === 'decode' ? 'decoded' : 'encoded';
    const options = [option('exact', `pictures ${what} as the VAE is set up`, set)];
    const sliced = { ...set, isSliced: true };
    if (images > 1 && !set.isSliced && way === 'decode')
      options.push(option('exact', 'pictures decoded one by one', sliced));
    const longest = Math.max(height, width) * this.scaleFactor;
    const half = (tile: number): number => Math.floor(tile / 2 / this.scaleFactor) * this.scaleFactor;
    for (let tile = set.tile ?? this.#defaultTile(); tile >= LEAST_TILE; tile = half(tile))
      if (tile < longest && tile !== set.tile)
        options.push(option('blended', `pictures ${what} in tiles of ${tile} pixels`, { ...sliced, tile }));
    return options;
  }

  #demand(way: Way, images: number, size: Size, portion: Portion): PlanDemand {
    const graph = way === 'decode' ? this.#decoder : this.#encoder;
    const factor = way === 'decode' ? 1 : this.scaleFactor;
    const input = { height: size.height * factor, width: size.width * factor };
    const tiling = this.#tilingOf(way, portion);
    const isTiled = isCut(portion, input, tiling.tileIn);
    const batch = isTiled || portion.isSliced || way === 'encode' ? 1 : images;
    const sizes = isTiled ? tileSizes(input, tiling) : [input];
    return eitherOf(sizes.map(({ height, width }) => this.network.demand(graph, { batch, height, width })));
  }

  /** Decodes latents [images, channels, height, width] as pipelines hold them; see `scale`. */
  async decode(
    latents: Float32Array,
    shape: ImageShape,
    normalized: boolean,
    options: ProgramOptions = {},
  ): Promise<DecodedImages> {
    const [images, channels, height, width] = shape;
    const portion = this.#portion('decode');
    const tiling = this.#tilingOf('decode', portion);
    const tiled = isCut(portion, { height, width }, tiling.tileIn);
    const batch = tiled || portion.isSliced ? 1 : images;
    const { scalingFactor } = this.kind.config;
    const unscaled = this.#mapLatents(
      latents,
      shape,
      normalized,
      (value, mean, std) => (value * std) / scalingFactor + mean,
    );
    const all = toNhwc(unscaled, shape);
    const decodeBatch = async (data: Float32Array, size: Size): Promise<Plane> => {
      options.signal?.throwIfAborted();
      const program = await this.#decoderFor({ batch, height: size.height, width: size.width }, options);
      program.write('latents', data);
      program.run();
      const { scaleFactor } = this;
      return {
        height: size.height * scaleFactor,
        width: size.width * scaleFactor,
        channels: this.kind.config.outChannels,
        data: await unlessAborted(program.read('image'), options.signal),
      };
    };
    const length = batch * channels * height * width;
    const planes: Plane[] = [];
    for (let first = 0; first < all.length; first += length) {
      const data = all.subarray(first, first + length);
      const plane = { height, width, channels, data };
      planes.push(
        ...(tiled
          ? await (
              await loadTiles()
            ).inTiles(plane, tiling, async (tile) => [await decodeBatch(tile.data, tile)])
          : [await decodeBatch(data, plane)]),
      );
    }
    const [{ height: pixelHeight, width: pixelWidth, channels: colours }] = planes;
    return {
      shape: [images, pixelHeight, pixelWidth, colours],
      data: planes.length === 1 ? planes[0].data : stack(planes.map(({ data }) => data)),
    };
  }

  /** Encodes pictures [images, height, width, 3] in -1..1, one after the other. Latents are not scaled; see `scale`. */
  async encode(
    { count, height, width, channels, data }: ImageArray,
    options: ProgramOptions = {},
  ): Promise<EncodedImages> {
    const { latentChannels } = this.kind.config;
    const portion = this.#portion('encode');
    const tiling = this.#tilingOf('encode', portion);
    const tiled = isCut(portion, { height, width }, tiling.tileIn);
    const names = this.kind.className === 'AutoencoderTiny' ? ['latents'] : ['mean', 'logvar'];
    const encodePlane = async (plane: Plane): Promise<readonly Plane[]> => {
      options.signal?.throwIfAborted();
      const program = await this.#encoders.get([plane.height, plane.width].join('x'), () =>
        this.network.compile(this.#encoder, { batch: 1, height: plane.height, width: plane.width }, options),
      );
      program.write('image', plane.data);
      program.run();
      const reading = Promise.all(names.map((name) => program.read(name)));
      const outputs = await unlessAborted(reading, options.signal);
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
        ? await (await loadTiles()).inTiles(plane, tiling, encodePlane)
        : await encodePlane(plane);
      means.push(toNchw(mean.data, shape));
      const std = logvar?.data.map((value) => Math.exp(0.5 * Math.min(Math.max(value, -30), 20)));
      if (std) deviations.push(toNchw(std, shape));
    }
    return { mean: stack(means), ...(deviations.length > 0 && { std: stack(deviations) }) };
  }

  /**
   * Encoded latents [images, channels, height, width] as pipelines hold them. diffusers' pipelines of this family do not look
   * at `shift_factor`, so neither is it here.
   * @param normalized by `latents_mean` and `latents_std` too, where the VAE has them
   */
  scale(latents: Float32Array, shape: ImageShape, normalized: boolean): Float32Array {
    const { scalingFactor } = this.kind.config;
    return this.#mapLatents(
      latents,
      shape,
      normalized,
      (value, mean, std) => ((value - mean) * scalingFactor) / std,
    );
  }

  /** Latents by a function of each and of its channel's statistics: 0 and 1 if they are not normalized. */
  #mapLatents(
    latents: Float32Array,
    [, channels, height, width]: ImageShape,
    normalized: boolean,
    map: (value: number, mean: number, std: number) => number,
  ): Float32Array {
    const statistics = normalized ? this.#statistics : null;
    if (!statistics) return latents.map((value) => map(value, 0, 1));
    const pixels = height * width;
    return latents.map((value, i) => {
      const channel = Math.floor(i / pixels) % channels;
      return map(value, statistics.mean[channel], statistics.std[channel]);
    });
  }

  get #statistics(): AutoencoderKLConfig['latentStatistics'] {
    return this.kind.className === 'AutoencoderKL' ? this.kind.config.latentStatistics : null;
  }

  async #decoderFor(bindings: DecoderBindings, options: ProgramOptions): Promise<Program> {
    return this.#programs.get(JSON.stringify(bindings), () =>
      this.network.compile(this.#decoder, bindings, options),
    );
  }

  /** What goes through it at once: as memory was planned, else as it is set up. */
  #portion(way: Way): Portion {
    return this.#planned.get(way) ?? this.#setPortion();
  }

  #setPortion(): Portion {
    return { isSliced: this.#slicing, tile: this.#tiling ? this.#defaultTile() : undefined };
  }

  /** Sides of diffusers' tiles, in pixels. */
  #defaultTile(): number {
    const { className, config } = this.kind;
    return className === 'AutoencoderTiny' ? TINY_TILE : config.sampleSize[0];
  }

  /** Sides of a tile. */
  #tileSizes({ tile: sample = this.#defaultTile() }: Portion): {
    readonly sample: number;
    readonly latent: number;
  } {
    return { sample, latent: Math.floor(sample / this.scaleFactor) };
  }

  #tilingOf(way: Way, portion: Portion): Tiling {
    const { sample, latent } = this.#tileSizes(portion);
    const [tileIn, tileOut] = way === 'encode' ? [sample, latent] : [latent, sample];
    return this.className === 'AutoencoderTiny'
      ? { method: 'painted', overlap: 0.125, tileIn, tileOut }
      : { method: 'averaged', overlap: 0.25, tileIn, tileOut };
  }

  /** Frees programs and weights; the next use makes them again. */
  release(): void {
    this.#encoders.dispose();
    this.#programs.dispose();
    this.network.vacate();
  }

  dispose(): void {
    this.release();
    this.network.dispose();
  }
}

/** Whether something of this size (pixels to encode, latents to decode) is cut into tiles with sides of `tile`. */
function isCut(portion: Portion, { height, width }: Size, tile: number): boolean {
  return portion.tile !== undefined && Math.max(height, width) > tile;
}
