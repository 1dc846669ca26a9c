/**
 * @file What a network's output says about clean latents and noise, for each way of training it.
 */

/** Kinds of network output: the noise, the clean latents, or the velocity (Salimans and Ho, 2022). */
export type PredictionType = 'epsilon' | 'sample' | 'v_prediction';

/** A quantity as a sum: sample * noisy latents + output * network output. */
interface LinearForm {
  readonly sample: number;
  readonly output: number;
}

/** Clean latents and noise as sums. */
export interface PredictionForms {
  readonly x0: LinearForm;
  readonly noise: LinearForm;
}

const FORMS: Readonly<Record<PredictionType, (alpha: number, sigma: number) => PredictionForms>> = {
  epsilon: (alpha, sigma) => ({
    x0: { sample: 1 / alpha, output: -sigma / alpha },
    noise: { sample: 0, output: 1 },
  }),
  sample: (alpha, sigma) => ({
    x0: { sample: 0, output: 1 },
    noise: { sample: 1 / sigma, output: -alpha / sigma },
  }),
  v_prediction: (alpha, sigma) => ({
    x0: { sample: alpha, output: -sigma },
    noise: { sample: sigma, output: alpha },
  }),
};

/**
 * Clean latents and noise in terms of the noisy latents x = alpha * clean + sigma * noise and the network's output,
 * where alpha^2 + sigma^2 = 1.
 */
export function predictionForms(type: PredictionType, alpha: number, sigma: number): PredictionForms {
  return FORMS[type](alpha, sigma);
}
