/** @file The models of benchmarks: their published configurations, from which networks with random weights are made. */

/** A model's configurations. */
export interface BenchModel {
  readonly folder: string;
  /** The folder of a model that has what this one lacks: its VAE, text encoders. */
  readonly base: string;
  /** Pixels along each side that it was trained at. */
  readonly size: number;
  /** How its pictures are timed. */
  readonly picture?: { readonly steps: number; readonly guidance: number };
}

/** Where the configurations are. */
const CONFIGS = 'test/fixtures/configs';

const SD15 = `${CONFIGS}/sd15`;
const SDXL = `${CONFIGS}/sdxl-base-1.0`;

/** The ControlNet of SD 1.5. */
export const SD15_CONTROLNET = `${CONFIGS}/controlnet-canny-v11p-sd15`;

/** Models by name. SD 2.1's and PixArt's VAEs are that of SD 1.5, decoding larger pictures. */
export const BENCH_MODELS = {
  sd15: { folder: SD15, base: SD15, size: 512, picture: { steps: 20, guidance: 7.5 } },
  sd21: { folder: `${CONFIGS}/sd21`, base: SD15, size: 768, picture: { steps: 20, guidance: 7.5 } },
  sdxl: { folder: SDXL, base: SDXL, size: 1024, picture: { steps: 30, guidance: 5 } },
  'sdxl-refiner': { folder: `${CONFIGS}/sdxl-refiner-1.0`, base: SDXL, size: 1024 },
  'ssd-1b': { folder: `${CONFIGS}/ssd-1b`, base: SDXL, size: 1024 },
  pixart: { folder: `${CONFIGS}/pixart-xl-2-1024-ms`, base: SD15, size: 1024 },
  starter: { folder: 'models/emoji-starter', base: 'models/emoji-starter', size: 256 },
} as const satisfies Record<string, BenchModel>;

/** A model by its name. */
export function benchModel(name: string): BenchModel {
  const found = Object.entries(BENCH_MODELS).find(([key]) => key === name)?.[1];
  if (found === undefined) throw new Error(`--model takes ${Object.keys(BENCH_MODELS).join(', ')}`);
  return found;
}

/** What `calotype bench unet` and `vae` are told of a model. */
export function networkOptions(
  network: 'unet' | 'vae',
  { folder, base, size }: BenchModel,
): { readonly folder: string; readonly size: string } {
  return { folder: network === 'vae' ? base : folder, size: `${size}x${size}` };
}
