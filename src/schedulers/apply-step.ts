/**
 * @file A scheduler's step in plain arithmetic, as `scheduler.ts` defines it. Sums are float64, results float32.
 */
import type { StepCoefficients } from './scheduler.ts';

/** What the network is called on. `state` holds one array for each slot. */
export function modelInput(step: StepCoefficients, state: readonly Float32Array[]): Float32Array {
  return combine(step.input, state);
}

/** The step's prediction of the finished latents from the network's output. */
export function predictOriginal(
  { x0 }: StepCoefficients,
  state: readonly Float32Array[],
  output: Float32Array,
): Float32Array {
  const predicted = combine([...x0.state, x0.output], [...state, output]);
  return predicted.map((value) => Math.min(Math.max(value, -x0.clip), x0.clip));
}

/** The state after a step. `noise` may be left out if `step.usesNoise` is false. */
export function applyStep(
  step: StepCoefficients,
  state: readonly Float32Array[],
  output: Float32Array,
  noise: Float32Array = new Float32Array(output.length),
): Float32Array[] {
  const x0 = predictOriginal(step, state, output);
  const { next } = step;
  return state.map((_, slot) =>
    combine(
      [...next.state[slot], next.output[slot], next.x0[slot], next.noise[slot]],
      [...state, output, x0, noise],
    ),
  );
}

/** sum_j weights[j] * tensors[j] */
function combine(weights: readonly number[], tensors: readonly Float32Array[]): Float32Array {
  return Float32Array.from(tensors[0], (_, i) =>
    weights.reduce((sum, weight, j) => sum + weight * tensors[j][i], 0),
  );
}
