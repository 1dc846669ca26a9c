/**
 * @file Weighted sums of what a step has at hand, so that schedulers can write their formulas as they are published
 * and still end up as the numbers that `scheduler.ts` asks for.
 */
import type { StepCoefficients } from './scheduler.ts';

/** Weights of the state's slots in order, then of the network's output, of x0, and of fresh noise. */
export type Sum = readonly number[];

/** The quantities that sums are made of, each as the sum that is just it. */
export interface Basis {
  readonly state: readonly Sum[];
  readonly output: Sum;
  readonly x0: Sum;
  readonly noise: Sum;
}

/** The basis for a state of this many slots. */
export function basis(slots: number): Basis {
  const sums = Array.from({ length: slots + 3 }, (_, i) =>
    Array.from({ length: slots + 3 }, (_, j) => (i === j ? 1 : 0)),
  );
  return {
    state: sums.slice(0, slots),
    output: sums[slots],
    x0: sums[slots + 1],
    noise: sums[slots + 2],
  };
}

/** weight * sum + weight * sum + ... of at least one term. */
export function combine(...terms: readonly (readonly [weight: number, sum: Sum])[]): Sum {
  return terms[0][1].map((_, i) => terms.reduce((total, [weight, sum]) => total + weight * sum[i], 0));
}

/** A step in sums. */
export interface SumStep {
  readonly timestep: number;
  /** Of slots only. */
  readonly input: Sum;
  /** Of slots and output only. */
  readonly x0: Sum;
  /** See `StepCoefficients`; Infinity by default. */
  readonly clip?: number;
  /** What each slot holds afterwards; slots that are left out become zero. */
  readonly next: readonly Sum[];
  /** False by default. */
  readonly usesNoise?: boolean;
}

/** The step as numbers for a state of this many slots. */
export function toCoefficients(slots: number, step: SumStep): StepCoefficients {
  const next = Array.from({ length: slots }, (_, k) => step.next[k] ?? step.input.map(() => 0));
  return {
    timestep: step.timestep,
    input: step.input.slice(0, slots),
    x0: { state: step.x0.slice(0, slots), output: step.x0[slots], clip: step.clip ?? Infinity },
    next: {
      state: next.map((sum) => sum.slice(0, slots)),
      output: next.map((sum) => sum[slots]),
      x0: next.map((sum) => sum[slots + 1]),
      noise: next.map((sum) => sum[slots + 2]),
    },
    usesNoise: step.usesNoise ?? false,
  };
}
