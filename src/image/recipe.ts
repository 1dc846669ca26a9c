/**
 * @file What made a picture, as the texts of its PNG: `parameters` in the form that stable-diffusion-webui writes and
 * most viewers read, and `calotype`, JSON with every option under its own name.
 */
import * as v from 'valibot';
import { validate } from '../loaders/config.ts';
import { parseJson } from '../loaders/json.ts';
import { samplerOfScheduler } from '../schedulers/webui-samplers.ts';

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
  /** The name that the scheduler was chosen by, one of `SCHEDULER_PRESETS`. */
  sampler: v.optional(v.string()),
  clipSkip: v.optional(v.number()),
  /** Files that the picture began with, as they were named. */
  image: v.optional(v.string()),
  maskImage: v.optional(v.string()),
  strength: v.optional(v.number()),
  /** More that stable-diffusion-webui says of such a picture, by its names. */
  webuiSettings: v.optional(v.record(v.string(), v.union([v.string(), v.number()]))),
});

/** The options behind one picture. Other options of the call may be added under their own names. */
export type Recipe = Readonly<v.InferOutput<typeof recipeSchema>>;

const REMEDY = 'Give a recipe as calotype writes it into its pictures, or correct this field';

/** Keywords of the two texts. */
const PARAMETERS = 'parameters';
const RECIPE = 'calotype';

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
  return text === undefined
    ? undefined
    : validate(recipeSchema, parseJson(text, file), { file, remedy: REMEDY });
}

/** stable-diffusion-webui's form (modules/processing.py, create_infotext): prompt, negative prompt, one line of settings. */
function webuiParameters(recipe: Recipe): string {
  const chosen = recipe.sampler ?? recipe.scheduler;
  const settings: readonly (readonly [string, string | number | undefined])[] = [
    ['Steps', recipe.numInferenceSteps],
    ['Sampler', samplerOfScheduler(chosen) ?? samplerOfScheduler(recipe.scheduler) ?? recipe.scheduler],
    ['Schedule type', recipe.useKarrasSigmas === true || chosen.endsWith('-karras') ? 'Karras' : undefined],
    ['CFG scale', recipe.guidanceScale],
    ['Seed', recipe.seed],
    ['Size', `${recipe.width}x${recipe.height}`],
    ['Model', recipe.model],
    ['Denoising strength', recipe.strength],
    // It counts layers from 1, the last.
    ['Clip skip', recipe.clipSkip ? recipe.clipSkip + 1 : undefined],
    ['Guidance rescale', recipe.guidanceRescale || undefined],
    ...Object.entries(recipe.webuiSettings ?? {}),
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
