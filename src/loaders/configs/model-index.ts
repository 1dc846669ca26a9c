/**
 * @file model_index.json: which pipeline a model folder is for, and the class of each of its components.
 */
import * as v from 'valibot';
import { ConfigError } from '../../errors.ts';
import { type ConfigContext, oneOf, validate, whole } from '../config.ts';

const COMPONENT_NAMES = [
  'unet',
  'transformer',
  'vae',
  'text_encoder',
  'text_encoder_2',
  'tokenizer',
  'tokenizer_2',
  'scheduler',
  'low_res_scheduler',
] as const;

/** Components that a pipeline may use; also the names of their folders. */
type ComponentName = (typeof COMPONENT_NAMES)[number];

const STABLE_DIFFUSION = {
  components: {
    unet: ['UNet2DConditionModel'],
    vae: ['AutoencoderKL', 'AutoencoderTiny'],
    text_encoder: ['CLIPTextModel'],
    tokenizer: ['CLIPTokenizer', 'CLIPTokenizerFast'],
    scheduler: 'any',
  },
  optional: [],
} as const satisfies PipelineDescription;

/** What each pipeline is made of: the classes that each component may have; `'any'` is checked by its reader. */
const PIPELINES = {
  StableDiffusionPipeline: STABLE_DIFFUSION,
  LatentConsistencyModelPipeline: STABLE_DIFFUSION,
  StableDiffusionUpscalePipeline: {
    ...STABLE_DIFFUSION,
    components: {
      ...STABLE_DIFFUSION.components,
      vae: ['AutoencoderKL'],
      low_res_scheduler: ['DDPMScheduler'],
    },
  },
  PixArtAlphaPipeline: {
    components: {
      transformer: ['PixArtTransformer2DModel', 'Transformer2DModel'],
      vae: ['AutoencoderKL', 'AutoencoderTiny'],
      text_encoder: ['T5EncoderModel'],
      tokenizer: ['T5Tokenizer', 'T5TokenizerFast'],
      scheduler: 'any',
    },
    optional: [],
  },
  StableDiffusionXLPipeline: {
    components: {
      unet: ['UNet2DConditionModel'],
      vae: ['AutoencoderKL', 'AutoencoderTiny'],
      text_encoder: ['CLIPTextModel'],
      tokenizer: ['CLIPTokenizer', 'CLIPTokenizerFast'],
      text_encoder_2: ['CLIPTextModelWithProjection'],
      tokenizer_2: ['CLIPTokenizer', 'CLIPTokenizerFast'],
      scheduler: 'any',
    },
    // Refiners have only the second encoder.
    optional: ['text_encoder', 'tokenizer'],
  },
} as const satisfies Record<string, PipelineDescription>;

interface PipelineDescription {
  readonly components: Readonly<Partial<Record<ComponentName, readonly string[] | 'any'>>>;
  readonly optional: readonly ComponentName[];
}

/** Pipelines that are implemented. */
export type PipelineClass = keyof typeof PIPELINES;

/** A model folder's table of contents. */
export interface ModelIndex {
  /** The text-to-image class, also for folders that name another with the same components. */
  readonly className: PipelineClass;
  /** Class of each component that the pipeline uses and the folder has. */
  readonly components: ReadonlyMap<ComponentName, string>;
  /** Class of the ControlNets that the model brings along: one in `controlnet`, or more in `controlnet_1`, ... too. */
  readonly controlnet: (typeof CONTROLNETS)[number] | undefined;
  /** SDXL: a missing negative prompt becomes zeros instead of the encoding of "". */
  readonly forceZerosForEmptyPrompt: boolean;
  /** SDXL: the UNet takes an aesthetic score in place of the target size (refiners). */
  readonly requiresAestheticsScore: boolean;
  /** x4 upscaler: the most noise (a timestep) that may be put on the picture. */
  readonly maxNoiseLevel: number;
}

/** Options of `parseModelIndex`. */
export interface ModelIndexContext extends ConfigContext {
  /** Components that the caller brings along, so that the folder's own are neither needed nor read. */
  readonly provided?: ReadonlySet<ComponentName>;
}

/** Pipelines with the same components, by what a call gives: a folder that names one of these serves all tasks. */
const SAME_COMPONENTS = {
  StableDiffusionPipeline: 'StableDiffusionPipeline',
  StableDiffusionImg2ImgPipeline: 'StableDiffusionPipeline',
  StableDiffusionInpaintPipeline: 'StableDiffusionPipeline',
  LatentConsistencyModelPipeline: 'LatentConsistencyModelPipeline',
  LatentConsistencyModelImg2ImgPipeline: 'LatentConsistencyModelPipeline',
  StableDiffusionUpscalePipeline: 'StableDiffusionUpscalePipeline',
  PixArtAlphaPipeline: 'PixArtAlphaPipeline',
  StableDiffusionXLPipeline: 'StableDiffusionXLPipeline',
  StableDiffusionXLImg2ImgPipeline: 'StableDiffusionXLPipeline',
  StableDiffusionXLInpaintPipeline: 'StableDiffusionXLPipeline',
  StableDiffusionControlNetPipeline: 'StableDiffusionPipeline',
  StableDiffusionControlNetImg2ImgPipeline: 'StableDiffusionPipeline',
  StableDiffusionControlNetInpaintPipeline: 'StableDiffusionPipeline',
  StableDiffusionXLControlNetPipeline: 'StableDiffusionXLPipeline',
  StableDiffusionXLControlNetImg2ImgPipeline: 'StableDiffusionXLPipeline',
  StableDiffusionXLControlNetInpaintPipeline: 'StableDiffusionXLPipeline',
} as const satisfies Record<string, PipelineClass>;

const CONTROLNETS = ['ControlNetModel', 'MultiControlNetModel'] as const;

/** Whether models of a pipeline class can be used. */
export function isUsableClass(name: string): name is keyof typeof SAME_COMPONENTS {
  return Object.hasOwn(SAME_COMPONENTS, name);
}

const schema = v.looseObject({
  _class_name: oneOf(...Object.keys(SAME_COMPONENTS).filter(isUsableClass)),
  force_zeros_for_empty_prompt: v.optional(v.boolean(), true),
  requires_aesthetics_score: v.optional(v.boolean(), false),
  max_noise_level: v.optional(whole(0), 350),
});
const componentSchema = v.strictTuple([v.nullable(v.string()), v.nullable(v.string())]);

/**
 * Reads a model_index.json. Entries of components that the pipeline does not use (safety_checker,
 * feature_extractor, image_encoder, ...) are not looked into; one notice names them.
 * Throws ConfigError for a pipeline that is not implemented, and for a component in use that is missing or of a
 * class that is not implemented.
 */
export function parseModelIndex(json: unknown, context: ModelIndexContext): ModelIndex {
  const raw = validate(schema, json, context);
  const className = SAME_COMPONENTS[raw._class_name];
  const { components: described, optional }: PipelineDescription = PIPELINES[className];
  const components = new Map<ComponentName, string>();
  for (const name of COMPONENT_NAMES) {
    const classes = described[name];
    if (classes === undefined || context.provided?.has(name) === true) continue;
    const component = componentClass(raw[name], name, context);
    if (component !== undefined) components.set(name, checkClass(component, classes, name, context));
    else if (!optional.includes(name))
      throw new ConfigError(`${className} needs this component, but the model has none`, {
        file: context.file,
        field: name,
        remedy: `Use a complete model, or bring the component along`,
      });
  }
  const net = componentClass(raw['controlnet'], 'controlnet', context);
  if (net !== undefined) checkClass(net, CONTROLNETS, 'controlnet', context);
  noteUnused(raw, [...Object.keys(described), 'controlnet'], context);
  return {
    className,
    components,
    controlnet: CONTROLNETS.find((known) => known === net),
    forceZerosForEmptyPrompt: raw.force_zeros_for_empty_prompt,
    requiresAestheticsScore: raw.requires_aesthetics_score,
    maxNoiseLevel: raw.max_noise_level,
  };
}

/** Class in a `[library, class]` entry; undefined for no entry and for `[null, null]`. */
function componentClass(entry: unknown, field: string, context: ConfigContext): string | undefined {
  if (entry === undefined) return undefined;
  const parsed = v.safeParse(componentSchema, entry);
  if (!parsed.success)
    throw new ConfigError(`expected [library, class], got ${JSON.stringify(entry)}`, {
      file: context.file,
      field,
      remedy: 'Use the file as it was published with the model',
    });
  return parsed.output[1] ?? undefined;
}

function checkClass(
  component: string,
  classes: readonly string[] | 'any',
  field: string,
  context: ConfigContext,
): string {
  if (classes === 'any' || classes.includes(component)) return component;
  throw new ConfigError(`the class ${component} is not supported; supported: ${classes.join(', ')}`, {
    file: context.file,
    field,
    remedy: 'Use a model with a supported class, or bring this component along from another one',
  });
}

/** One notice for all components that are there but not used. */
function noteUnused(
  raw: Readonly<Record<string, unknown>>,
  used: readonly string[],
  context: ConfigContext,
): void {
  const unused = Object.entries(raw)
    .filter(([name, entry]) => Array.isArray(entry) && entry[1] !== null && !used.includes(name))
    .map(([name]) => name);
  if (unused.length > 0) context.onNotice?.(`${context.file}: not used and not read: ${unused.join(', ')}`);
}
