/**
 * @file The training noise schedule: betas, and from them alphas_cumprod and sigmas, in torch's float32.
 *
 * Rounding matters here: with betas rescaled to zero terminal SNR the last signal levels are differences of nearly
 * equal float32 numbers, and computing them more exactly would give another schedule than diffusers'.
 */
import { ConfigError } from '../errors.ts';
import { linspaceF32 } from './arrays.ts';

const f32 = Math.fround;

/** How betas rise from `beta_start` to `beta_end`; the cosine one ignores both. */
export type BetaSchedule = 'linear' | 'scaled_linear' | 'squaredcos_cap_v2';

/** The settings that describe a training schedule (diffusers' names). */
export interface BetaConfig {
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: BetaSchedule;
  readonly trained_betas: readonly number[] | null;
}

/**
 * alphas_cumprod: the share of signal power left at each training timestep, float32.
 *
 * @param rescale whether betas are rescaled to zero terminal SNR. It is no part of `config`, as classes without this
 *   setting ignore it in the files of others.
 * @throws ConfigError when trained_betas has another length than num_train_timesteps.
 */
export function alphasCumprod(config: BetaConfig, rescale: boolean): Float32Array {
  const betas = trainingBetas(config);
  return cumulativeProduct((rescale ? rescaleZeroTerminalSnr(betas) : betas).map(complement));
}

/**
 * sigma = sqrt((1 - alpha) / alpha) of each training timestep, float32. Zero terminal SNR would make the last sigma
 * infinite, so diffusers puts an alpha of 2^-24 (a sigma of 4096) in its place.
 */
export function trainingSigmas(config: BetaConfig, rescale: boolean): Float32Array {
  const alphas = alphasCumprod(config, rescale);
  if (rescale) alphas[alphas.length - 1] = 2 ** -24;
  return alphas.map((alpha) => Math.sqrt(f32(f32(1 - alpha) / alpha)));
}

function trainingBetas(config: BetaConfig): Float32Array {
  const { num_train_timesteps: count, beta_start: start, beta_end: end, trained_betas: trained } = config;
  if (trained !== null) {
    if (trained.length !== count)
      throw new ConfigError(`has ${trained.length} entries, but num_train_timesteps is ${count}`, {
        field: 'trained_betas',
        remedy: 'Give one beta for each training timestep',
      });
    return Float32Array.from(trained);
  }
  if (config.beta_schedule === 'squaredcos_cap_v2') return cosineBetas(count);
  if (config.beta_schedule === 'linear') return linspaceF32(start, end, count);
  return linspaceF32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
}

/** Nichol and Dhariwal, "Improved denoising diffusion probabilistic models" (2021), capped at 0.999. */
function cosineBetas(count: number): Float32Array {
  const alphaBar = (t: number): number => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

/** Lin et al., "Common diffusion noise schedules and sample steps are flawed" (2023), algorithm 1. */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeProduct(betas.map(complement)).map(Math.sqrt);
  const [first, last] = [roots[0], roots[roots.length - 1]];
  const scale = f32(first / f32(first - last));
  const rescaled = roots.map((root) => f32(f32(root - last) * scale) ** 2);
  return rescaled.map((alphaBar, i) => 1 - (i === 0 ? alphaBar : f32(alphaBar / rescaled[i - 1])));
}

function complement(x: number): number {
  return 1 - x;
}

/** torch keeps the running product in float64 and rounds each entry. */
function cumulativeProduct(values: Float32Array): Float32Array {
  let product = 1;
  return values.map((value) => (product *= value));
}
