/**
 * @file Rates: how often a value changes. They form a lattice that passes propagate.
 *
 * weight < { prompt, step } < prompt x step < latent. A value that depends on several inputs changes whenever
 * one of them does, so rates join by "or". Splitting a graph by rate (passes/split-by-rate.ts) is what runs
 * cross-attention K/V once a prompt and time embeddings once for all steps; model files know nothing of it.
 */

/** Bit set: 0 weight, 1 prompt, 2 step, 3 prompt x step, 7 latent. */
export type Rate = 0 | 1 | 2 | 3 | 7;

/** Rates that an input may be declared with. */
export type InputRate = 'prompt' | 'step' | 'latent';

export const RATE = { weight: 0, prompt: 1, step: 2, promptStep: 3, latent: 7 } as const satisfies Record<
  string,
  Rate
>;

/** The rate of a value computed from values of these rates. */
export function joinRates(rates: readonly Rate[]): Rate {
  const joined = rates.reduce<number>((a, b) => a | b, 0);
  return joined === 0 || joined === 1 || joined === 2 || joined === 3 ? joined : 7;
}
