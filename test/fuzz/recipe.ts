/** @file A recipe to be damaged. */
export const RECIPE = {
  calotype: '0.1.0',
  model: 'm',
  prompt: 'a "fox", \\ 🦊',
  negativePrompt: 'x',
  scheduler: 'DDIMScheduler',
  numInferenceSteps: 20,
  guidanceScale: 7.5,
  seed: 4,
  width: 64,
  height: 64,
};
