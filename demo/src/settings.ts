/** @file What a picture is asked for with, as the form holds it; kept between visits. */
import { effect, signal } from '@preact/signals';
import type { Recipe, RecommendedSettings, SchedulerChoice, WorkerCallOptions } from 'calotype/worker';

/** Schedulers that the form offers, by their names in it; the model's own is ''. */
export const SCHEDULERS: Readonly<Record<string, SchedulerChoice>> = {
  Euler: { name: 'euler' },
  'Euler ancestral': { name: 'euler-ancestral' },
  'DPM++ 2M': { name: 'dpm++' },
  'DPM++ 2M Karras': { name: 'dpm++', settings: { useKarrasSigmas: true } },
  'DPM++ 2M SDE Karras': {
    name: 'dpm++',
    settings: { algorithmType: 'sde-dpmsolver++', useKarrasSigmas: true },
  },
  UniPC: { name: 'unipc' },
  Heun: { name: 'heun' },
  DDIM: { name: 'ddim' },
  LCM: { name: 'lcm' },
};

/** The form. */
export interface Settings {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidance: number;
  readonly rescale: number;
  readonly scheduler: string;
  readonly seed: number;
  /** Whether the seed stays as it is from picture to picture. */
  readonly seedLocked: boolean;
  readonly strength: number;
  /** How much of what the ControlNet says is added. */
  readonly controlScale: number;
  /** How prompts are read. */
  readonly syntax: 'plain' | 'webui';
  /** Gigabytes that the model may take; 0 is as many as it needs. */
  readonly memory: number;
  /** Whether weights may be held in 8 bits for that. */
  readonly lossy: boolean;
}

const KEY = 'calotype-settings';
const DEFAULTS: Settings = {
  prompt: 'a red apple, 3D',
  negativePrompt: '',
  width: 512,
  height: 512,
  steps: 20,
  guidance: 7.5,
  rescale: 0,
  scheduler: '',
  seed: randomSeed(),
  seedLocked: false,
  strength: 0.6,
  controlScale: 1,
  syntax: 'plain',
  memory: 0,
  lossy: false,
};

/** The form's values. */
export const settings = signal<Settings>(restored());

effect(() => {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings.value));
  } catch {
    // Private windows keep nothing.
  }
});

/** Changes some values. */
export function change(values: Partial<Settings>): void {
  settings.value = { ...settings.value, ...values };
}

/** A seed that torch's generator takes and people can type. */
export function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** What a model's folder recommends. */
export function recommend(recommended: RecommendedSettings): void {
  const { numInferenceSteps, guidanceScale, guidanceRescale, width, height, negativePrompt } = recommended;
  change({
    ...(numInferenceSteps !== undefined && { steps: numInferenceSteps }),
    ...(guidanceScale !== undefined && { guidance: guidanceScale }),
    rescale: guidanceRescale ?? 0,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(negativePrompt !== undefined && { negativePrompt }),
  });
}

/** The form as a picture's recipe has it. */
export function fromRecipe(recipe: Recipe): void {
  change({
    prompt: recipe.prompt,
    negativePrompt: recipe.negativePrompt ?? '',
    width: recipe.width,
    height: recipe.height,
    steps: recipe.numInferenceSteps,
    guidance: recipe.guidanceScale,
    rescale: recipe.guidanceRescale ?? 0,
    seed: recipe.seed,
    seedLocked: true,
    ...(recipe.strength !== undefined && { strength: recipe.strength }),
    syntax: recipe['promptSyntax'] === 'webui' ? 'webui' : 'plain',
    scheduler: typeof recipe['choice'] === 'string' && recipe['choice'] in SCHEDULERS ? recipe['choice'] : '',
  });
}

/** The form as options of a call. */
export function callOptions(form: Settings): WorkerCallOptions {
  const scheduler = SCHEDULERS[form.scheduler];
  return {
    prompt: form.prompt,
    ...(form.negativePrompt && { negativePrompt: form.negativePrompt }),
    width: form.width,
    height: form.height,
    numInferenceSteps: form.steps,
    guidanceScale: form.guidance,
    guidanceRescale: form.rescale,
    seed: form.seed,
    promptSyntax: form.syntax,
    previews: true,
    ...(scheduler && { scheduler }),
  };
}

/** Values of an earlier visit, as far as they are of the right kind. */
function restored(): Settings {
  let kept: unknown;
  try {
    kept = JSON.parse(localStorage.getItem(KEY) ?? '{}');
  } catch {
    kept = {};
  }
  if (typeof kept !== 'object' || kept === null) return DEFAULTS;
  const found: unknown = kept;
  const valid = Object.entries(DEFAULTS).filter(
    ([name, value]) => typeof Reflect.get(found as object, name) === typeof value,
  );
  return {
    ...DEFAULTS,
    ...Object.fromEntries(valid.map(([name]) => [name, Reflect.get(found as object, name)])),
  };
}
