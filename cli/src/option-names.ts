/** @file What the command calls the options of the library, for recipes and for errors. */
import type { CalotypeError } from 'calotype';
import { ADDITION_ENTRIES } from './addition-args.ts';

/** The argument for each entry of a recipe, and for each option of a call, that is one as it is. */
export const ARGUMENTS: Readonly<Record<string, string>> = {
  model: 'model',
  revision: 'revision',
  variant: 'variant',
  dtype: 'dtype',
  vaeUpcast: 'vae-upcast',
  budget: 'budget',
  componentBudgets: 'component-budget',
  hostBudget: 'host-budget',
  lossy: 'lossy',
  prompt: 'prompt',
  prompt2: 'prompt-2',
  negativePrompt: 'negative',
  negativePrompt2: 'negative-2',
  promptSyntax: 'prompt-syntax',
  clipSkip: 'clip-skip',
  embeddings: 'embedding',
  loras: 'lora',
  controlnet: 'controlnet',
  controlImage: 'control-image',
  controlnetConditioningScale: 'control-scale',
  controlGuidanceStart: 'control-start',
  controlGuidanceEnd: 'control-end',
  guessMode: 'guess-mode',
  numInferenceSteps: 'steps',
  guidanceScale: 'guidance',
  guidanceRescale: 'guidance-rescale',
  seed: 'seed',
  image: 'image',
  maskImage: 'mask',
  strength: 'strength',
  refiner: 'refiner',
  refinerStart: 'refiner-start',
  ...ADDITION_ENTRIES,
};
/** Options of loading that no recipe holds. */
const LOADING: Readonly<Record<string, string>> = {
  backends: 'backend',
  componentBackends: 'component-backend',
};

/** The command's option for one of the library, which may be part of another (`memory.budget`). */
function flagOf(option: string): string | undefined {
  const [name] = option.replace(/^memory\./, '').split('.');
  const argument = { ...ARGUMENTS, ...LOADING };
  return Object.hasOwn(argument, name) ? `--${argument[name]}` : undefined;
}

/** An error's message, in which options of the library are called what the command calls them. */
export function messageForCommand({ message, problem, file, field, remedy }: CalotypeError): string {
  // Fields of files are called what they are called there.
  if (file !== undefined) return message;
  const place = field === undefined ? '' : `${flagOf(field) ?? field}: `;
  const advice = remedy.replaceAll(/`([\w.]+)`/g, (quoted, option: string) => flagOf(option) ?? quoted);
  return `${place}${problem}. ${advice}`;
}
