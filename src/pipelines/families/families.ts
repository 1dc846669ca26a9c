/** @file What differs between pipeline classes when they are called: diffusers' defaults, and the options they take. */

import type { PipelineClass } from '../../loaders/configs/model-index.ts';
import { IMAGE_PROMPT_OPTIONS } from '../ip-adapter/image-prompt-options.ts';
import type { CallOptions, OptionDefaults } from '../options/call-options.ts';
import { checkIsOptions, checkOptionNames } from '../../option-names.ts';
import { refuse } from '../options/checks.ts';
import type { Task } from '../options/image-options.ts';

/** Defaults of one task of a pipeline class, without sizes. */
type TaskDefaults = Omit<OptionDefaults, 'height' | 'width'>;

/** From pictures to latents, or back. */
type LatentsWay = 'encoded' | 'decoded';

/** How a pipeline class is called. */
interface PipelineFamily {
  /** Defaults by task; a task that is absent is not offered. */
  readonly tasks: Readonly<Partial<Record<Task['kind'], TaskDefaults>>>;
  /** Defaults of the classes with ControlNets, where they differ. */
  readonly controlled?: Readonly<Partial<Record<Task['kind'], TaskDefaults>>>;
  /** Tasks whose latents go by the VAE's `latents_mean` and `latents_std`, on their way in and on their way out. */
  readonly normalizes?: Readonly<Record<LatentsWay, readonly Task['kind'][]>>;
  /** Options that others lack and this one takes. */
  readonly has: ReadonlySet<keyof CallOptions>;
  /** Options that others take and this one lacks. */
  readonly lacks: ReadonlySet<keyof CallOptions>;
  /** All that it takes, for one that shares little with the others. */
  readonly only?: ReadonlySet<keyof CallOptions>;
}

const NONE: ReadonlySet<keyof CallOptions> = new Set();

/** Options that only some families take. */
const XL_OPTIONS = [
  'prompt2',
  'negativePrompt2',
  'pooledPromptEmbeds',
  'negativePooledPromptEmbeds',
  'originalSize',
  'cropsCoordsTopLeft',
  'targetSize',
  'negativeOriginalSize',
  'negativeCropsCoordsTopLeft',
  'negativeTargetSize',
  'denoisingStart',
  'denoisingEnd',
] as const satisfies readonly (keyof CallOptions)[];
const LCM_OPTIONS = ['originalInferenceSteps'] as const satisfies readonly (keyof CallOptions)[];
const UPSCALE_OPTIONS = ['noiseLevel'] as const satisfies readonly (keyof CallOptions)[];
const PIXART_OPTIONS = [
  'promptAttentionMask',
  'negativePromptAttentionMask',
  'maxSequenceLength',
  'cleanCaption',
  'useResolutionBinning',
] as const satisfies readonly (keyof CallOptions)[];
const REFINER_OPTIONS = [
  'aestheticScore',
  'negativeAestheticScore',
] as const satisfies readonly (keyof CallOptions)[];
/** Options that most families take. */
const PAG_OPTIONS = [
  'pagScale',
  'pagAdaptiveScale',
  'pagAppliedLayers',
] as const satisfies readonly (keyof CallOptions)[];
const SPECIAL: ReadonlySet<string> = new Set([
  ...XL_OPTIONS,
  ...LCM_OPTIONS,
  ...UPSCALE_OPTIONS,
  ...PIXART_OPTIONS,
  ...REFINER_OPTIONS,
]);

const FAMILIES: Readonly<Record<PipelineClass, PipelineFamily>> = {
  StableDiffusionPipeline: {
    tasks: {
      text: { guidanceScale: 7.5 },
      image: { guidanceScale: 7.5, strength: 0.8 },
      inpaint: { guidanceScale: 7.5, strength: 1 },
    },
    has: NONE,
    lacks: NONE,
  },
  StableDiffusionXLPipeline: {
    tasks: {
      text: { guidanceScale: 5 },
      image: { guidanceScale: 5, strength: 0.3 },
      inpaint: { guidanceScale: 7.5, strength: 0.9999 },
    },
    controlled: {
      image: { guidanceScale: 5, strength: 0.8 },
      inpaint: { guidanceScale: 5, strength: 0.9999 },
    },
    normalizes: { encoded: ['image'], decoded: ['text', 'image', 'inpaint'] },
    has: new Set(XL_OPTIONS),
    lacks: NONE,
  },
  LatentConsistencyModelPipeline: {
    tasks: {
      text: { guidanceScale: 8.5, numInferenceSteps: 4 },
      image: { guidanceScale: 8.5, numInferenceSteps: 4, strength: 0.8 },
    },
    has: new Set(LCM_OPTIONS),
    lacks: new Set([
      'negativePrompt',
      'negativePromptEmbeds',
      'guidanceRescale',
      ...PAG_OPTIONS,
      'eta',
      'sigmas',
    ]),
  },
  PixArtAlphaPipeline: {
    tasks: { text: { guidanceScale: 4.5, numInferenceSteps: 20, useResolutionBinning: true } },
    has: NONE,
    lacks: NONE,
    only: new Set([
      'prompt',
      'negativePrompt',
      'promptEmbeds',
      'negativePromptEmbeds',
      'height',
      'width',
      'numInferenceSteps',
      'timesteps',
      'sigmas',
      'guidanceScale',
      'eta',
      'seed',
      'numImagesPerPrompt',
      'latents',
      'outputType',
      'returnLatents',
      'resumeFrom',
      'callbackOnStepEnd',
      'signal',
      ...PIXART_OPTIONS,
    ]),
  },
  StableDiffusionUpscalePipeline: {
    tasks: { upscale: { guidanceScale: 9, numInferenceSteps: 75, noiseLevel: 20 } },
    has: new Set(UPSCALE_OPTIONS),
    lacks: new Set([
      'height',
      'width',
      'maskImage',
      'paddingMaskCrop',
      'strength',
      'timesteps',
      'sigmas',
      'guidanceRescale',
      ...PAG_OPTIONS,
      ...IMAGE_PROMPT_OPTIONS,
      'hires',
    ]),
  },
};

/**
 * Whether latents of a task are normalised by the VAE's statistics, as diffusers does in some pipelines of SDXL, and not in
 * the one that inpaints with ControlNets.
 */
export function normalizesLatents(
  className: PipelineClass,
  kind: Task['kind'],
  controlled: boolean,
): Readonly<Record<LatentsWay, boolean>> {
  const { normalizes } = FAMILIES[className];
  const does = (way: LatentsWay): boolean =>
    normalizes !== undefined && normalizes[way].includes(kind) && !(controlled && kind === 'inpaint');
  return { encoded: does('encoded'), decoded: does('decoded') };
}

/** A kind of SDXL model: its refiner takes a score as well. */
export interface FamilyMember {
  readonly className: PipelineClass;
  readonly refines: boolean;
}

const isAmong = (options: Iterable<string>, option: string): boolean => [...options].includes(option);

function familyTakes({ has, lacks, only }: PipelineFamily, option: string): boolean {
  if (only) return isAmong(only, option);
  return SPECIAL.has(option) ? isAmong(has, option) : !isAmong(lacks, option);
}

/** Whether a model's pipeline takes an option that exists. */
export function takesOption({ className, refines }: FamilyMember, option: string): boolean {
  return familyTakes(FAMILIES[className], option) || (refines && isAmong(REFINER_OPTIONS, option));
}

/**
 * Checks the names of options.
 * @param known options of calls, whichever pipelines take them
 * @param own options that all pipelines take
 * @throws OptionError for an option that there is not, and, naming pipelines that have it, for one that this one lacks
 */
export function checkTaken(
  member: FamilyMember,
  options: unknown,
  known: readonly string[],
  own: readonly string[] = [],
): void {
  const { className } = member;
  checkIsOptions(className, options);
  for (const name of Object.keys(options)) {
    if (!known.includes(name) || takesOption(member, name)) continue;
    const takers = isAmong(REFINER_OPTIONS, name)
      ? ["SDXL's refiner"]
      : Object.entries(FAMILIES).flatMap(([taker, family]) => (familyTakes(family, name) ? [taker] : []));
    refuse(
      name,
      `${className} has no such option`,
      `Leave it out, or use a model for ${takers.join(' or ')}`,
    );
  }
  checkOptionNames(className, options, [...known.filter((name) => takesOption(member, name)), ...own]);
}

/**
 * diffusers' defaults of the pipeline class that a task belongs to.
 * @param controlled whether ControlNets take part
 * @throws OptionError for a task that the class does not offer
 */
export function taskDefaults(
  className: PipelineClass,
  kind: Task['kind'],
  controlled: boolean,
): TaskDefaults {
  const family = FAMILIES[className];
  const defaults = (controlled ? family.controlled?.[kind] : undefined) ?? family.tasks[kind];
  if (defaults !== undefined) return defaults;
  return refuse(
    kind === 'inpaint' ? 'maskImage' : 'image',
    `${className} has no such task`,
    'Leave it out, or use another model',
  );
}
