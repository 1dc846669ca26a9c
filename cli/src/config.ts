/**
 * @file `--config`: what made an earlier picture, as arguments. A recipe is JSON, by itself or in the texts of a PNG that
 * calotype wrote; pictures of stable-diffusion-webui tell their options too, though not all that mattered.
 */
import { readFile } from 'node:fs/promises';
import {
  decodePng,
  OptionError,
  parseWebuiParameters,
  readRecipe,
  type Recipe,
  SCHEDULER_PRESET_NAMES,
  SCHEDULER_PRESETS,
  schedulerOfSampler,
} from 'calotype';
import { ARGUMENTS } from './option-names.ts';

/** Arguments that a file amounts to, and what there is to say about them. */
export interface ConfigArguments {
  readonly args: Readonly<Record<string, string>>;
  readonly notices: readonly string[];
}

/** Entries that are read otherwise, or only tell something. */
const OTHERS = new Set([
  'webuiSettings',
  'calotype',
  'width',
  'height',
  'scheduler',
  'sampler',
  'useKarrasSigmas',
]);

/**
 * Reads a recipe, or the options in a picture.
 * @throws OptionError for a file that cannot be read or holds neither, FileFormatError and ConfigError for damaged ones
 */
export async function readConfig(path: string): Promise<ConfigArguments> {
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch (cause) {
    const remedy = 'Give a recipe (.json), or a picture (.png) that holds one.';
    throw new OptionError(`'${path}' cannot be read`, { field: '--config', remedy, cause });
  }
  // PNG's first byte begins no JSON.
  if (file[0] !== 0x89) {
    const recipe = readRecipe(new Map([['calotype', file.toString('utf8')]]), path);
    return recipe ? fromRecipe(recipe) : { args: {}, notices: [] };
  }
  const { text } = decodePng(file, path);
  const recipe = readRecipe(text, path);
  if (recipe) return fromRecipe(recipe);
  const parameters = text.get('parameters');
  if (parameters !== undefined) return fromWebui(parameters, path);
  throw new OptionError(`'${path}' does not tell how it was made`, {
    field: '--config',
    remedy: 'Give a picture as calotype or stable-diffusion-webui wrote it, or a recipe (.json).',
  });
}

function fromRecipe(recipe: Recipe): ConfigArguments {
  const args: Record<string, string> = { size: `${recipe.width}x${recipe.height}` };
  const notices: string[] = [];
  for (const [name, value] of Object.entries(recipe)) {
    const argument = Object.hasOwn(ARGUMENTS, name) ? ARGUMENTS[name] : undefined;
    if (argument !== undefined && (typeof value === 'string' || typeof value === 'number'))
      args[argument] = String(value);
    else if (!OTHERS.has(name)) notices.push(`"${name}" of the recipe is not used`);
  }
  const scheduler = schedulerOf(recipe);
  if (scheduler !== undefined) args['scheduler'] = scheduler;
  return { args, notices };
}

/** The name under which a scheduler was chosen, else that of its class. */
function schedulerOf({ sampler, scheduler }: Recipe): string | undefined {
  if (typeof sampler === 'string') return sampler;
  return SCHEDULER_PRESET_NAMES.find(
    (name) => SCHEDULER_PRESETS[name].fromConfig({}).config['_class_name'] === scheduler,
  );
}

/** Settings of stable-diffusion-webui that need no word: they are read below, or change nothing. */
const READ = new Set([
  'Steps',
  'Sampler',
  'Schedule type',
  'CFG scale',
  'Seed',
  'Size',
  'Clip skip',
  'Model',
  'Model hash',
  'Version',
  'Lora hashes',
  'TI hashes',
]);

function fromWebui(text: string, path: string): ConfigArguments {
  const { prompt, negativePrompt, settings } = parseWebuiParameters(text, path);
  const get = (name: string): string => settings.get(name) ?? '';
  const skip = settings.get('Clip skip');
  const unused = [...settings]
    .filter(([name]) => !READ.has(name))
    .map(([name, value]) => `${name}: ${value}`);
  const model = settings.get('Model');
  return {
    args: {
      prompt,
      ...(negativePrompt !== undefined && { negative: negativePrompt }),
      'prompt-syntax': 'webui',
      steps: get('Steps'),
      guidance: get('CFG scale'),
      seed: get('Seed'),
      size: get('Size'),
      scheduler: schedulerOfSampler(get('Sampler'), settings.get('Schedule type'), '--config'),
      // It counts layers from 1, the last.
      ...(skip !== undefined && { 'clip-skip': String(Number(skip) - 1) }),
    },
    notices: [
      'the picture was made by stable-diffusion-webui, whose noise is another: this one will look different',
      ...(model === undefined ? [] : [`it was made with a model that is called "${model}"`]),
      ...(unused.length > 0 ? [`not used: ${unused.join(', ')}`] : []),
    ],
  };
}
