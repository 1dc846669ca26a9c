/**
 * @file What made a picture, as the texts of its PNG: `parameters` in the form that stable-diffusion-webui writes and
 * most viewers read, and `calotype`, JSON with every option under its own name.
 */
import * as v from 'valibot';
import { validate } from '../loaders/config.ts';
import { parseJson } from '../loaders/json.ts';

const recipeSchema = v.looseObject({
  /** Version of calotype that made the picture. */
  calotype: v.string(),
  /** Name or path of the model. */
  model: v.string(),
  prompt: v.string(),
  negativePrompt: v.optional(v.string()),
  numInferenceSteps: v.number(),
  guidanceScale: v.number(),
  guidanceRescale: v.optional(v.number()),
  /** The seed that gives this very picture alone. */
  seed: v.number(),
  /** Pixels. */
  width: v.number(),
  height: v.number(),
  /** The scheduler's class. */
  scheduler: v.string(),
  useKarrasSigmas: v.optional(v.boolean()),
  /** Files that the picture began with, as they were named. */
  image: v.optional(v.string()),
  maskImage: v.optional(v.string()),
  strength: v.optional(v.number()),
});

/** The options behind one picture. Other options of the call may be added under their own names. */
export type Recipe = Readonly<v.InferOutput<typeof recipeSchema>>;

/** Keywords of the two texts. */
const PARAMETERS = 'parameters';
const RECIPE = 'calotype';

/** stable-diffusion-webui's names of samplers. */
const SAMPLERS: ReadonlyMap<string, string> = new Map([
  ['DDIMScheduler', 'DDIM'],
  ['EulerDiscreteScheduler', 'Euler'],
  ['EulerAncestralDiscreteScheduler', 'Euler a'],
  ['DPMSolverMultistepScheduler', 'DPM++ 2M'],
]);

/** The texts to write into a picture's PNG, by keyword. */
export function recipeTexts(recipe: Recipe): Record<string, string> {
  return { [PARAMETERS]: webuiParameters(recipe), [RECIPE]: JSON.stringify(recipe) };
}

/**
 * The recipe in the texts of a PNG; undefined if calotype did not make it. `file` is the picture's name, for messages.
 * Throws FileFormatError or ConfigError for a recipe that is damaged.
 */
export function readRecipe(texts: ReadonlyMap<string, string>, file = 'the picture'): Recipe | undefined {
  const text = texts.get(RECIPE);
  return text === undefined ? undefined : validate(recipeSchema, parseJson(text, file), { file });
}

/** stable-diffusion-webui's form (modules/processing.py, create_infotext): prompt, negative prompt, one line of settings. */
function webuiParameters(recipe: Recipe): string {
  const settings: readonly (readonly [string, string | number | undefined])[] = [
    ['Steps', recipe.numInferenceSteps],
    ['Sampler', SAMPLERS.get(recipe.scheduler) ?? recipe.scheduler],
    ['Schedule type', recipe.useKarrasSigmas === true ? 'Karras' : undefined],
    ['CFG scale', recipe.guidanceScale],
    ['Seed', recipe.seed],
    ['Size', `${recipe.width}x${recipe.height}`],
    ['Model', recipe.model],
    ['Denoising strength', recipe.strength],
    ['Guidance rescale', recipe.guidanceRescale || undefined],
    ['Version', `calotype ${recipe.calotype}`],
  ];
  const line = settings
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${quote(String(value))}`)
    .join(', ');
  const negative = recipe.negativePrompt ? [`Negative prompt: ${recipe.negativePrompt}`] : [];
  // NUL is the one character that a PNG text cannot hold.
  return [recipe.prompt, ...negative, line].join('\n').replaceAll('\0', '\ufffd');
}

/** Values that would end early are quoted as JSON. */
function quote(value: string): string {
  return /[,\n:]/.test(value) ? JSON.stringify(value) : value;
}
