/** @file Runs the library for `calotype generate`: the one place where the command meets the pipelines. */
import { setImmediate } from 'node:timers/promises';
import {
  DiffusionPipeline,
  encodePng,
  isWeightFile,
  OptionError,
  recipeTexts,
  type CallOptions,
  type MemoryOption,
  type PipelineOutput,
  type ProgressEvent,
  SCHEDULER_PRESETS,
} from 'calotype';
import { applyAdditions } from './additions.ts';
import { backendsOf } from './backends.ts';
import { componentBackendsOf, formatByComponent, type ComponentChoices } from './component-backends.ts';
import type { Advance } from './progress.ts';
import type { GenerateRequest } from './request.ts';
import { version } from './version.ts';

/** A request with everything decided. */
export interface DevelopRequest extends GenerateRequest {
  readonly model: string;
  /** What --image, --mask and --control-image name. */
  readonly pictures: Pick<CallOptions, 'image' | 'maskImage' | 'controlImage'>;
  readonly signal: AbortSignal;
  readonly onAdvance: (advance: Advance) => void;
}

/** A finished picture and what there is to say about it. */
export interface Developed {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  /** Backend and adapter. */
  readonly backend: string;
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
  readonly notices: readonly string[];
  /** What was taken at most, where it is counted: on the device that denoises, and on others. */
  readonly memory: PipelineOutput['memory'];
  readonly otherMemory: NonNullable<PipelineOutput['otherMemory']>;
}

/** What the library calls a phase, and what people see. */
const PHASES = {
  download: 'downloading',
  weights: 'loading',
  kernels: 'compiling',
  verify: 'verifying',
} as const;

/** Loads the model, draws one picture and encodes it as PNG, with its parameters in text chunks. */
export async function develop(request: DevelopRequest): Promise<Developed> {
  const { model, refiner, pictures } = request;
  const seed = request.seed ?? randomSeed();
  const { refining, texts } = request.additions;
  const base = await drawWith(request, model, (recommended) => ({
    ...callOptions(request, recommended, seed),
    ...(!refiner && refining),
    ...pictures,
    ...(refiner && { denoisingEnd: refiner.start, outputType: 'latent' }),
  }));
  const last = refiner
    ? await drawWith(request, refiner.model, () => ({
        ...callOptions(request, base.recommended, seed),
        ...refining,
        ...(base.output.latents && { image: base.output.latents }),
        denoisingStart: refiner.start,
      }))
    : base;
  const [image] = last.output.images;
  const { numInferenceSteps, guidanceScale, guidanceRescale, strength, width, height } = base.output.options;
  const used = { numInferenceSteps, guidanceScale, guidanceRescale, strength, width, height };
  const files = { image: request.image, maskImage: request.mask };
  const others = refiner && { refiner: refiner.model, refinerStart: refiner.start };
  const { prompt, negative, settings } = request;
  const recipe = {
    calotype: version,
    model,
    ...base.recommended,
    ...settings,
    ...(negative !== undefined && { negativePrompt: negative }),
    prompt,
    seed,
    ...used,
    ...files,
    ...others,
    ...loadingOf(request),
    ...texts,
    scheduler: base.scheduler,
  };
  const runs = refiner ? [base, last] : [base];
  const seconds = (phase: keyof Phases): number => runs.reduce((sum, run) => sum + run.phases[phase], 0);
  return {
    png: await encodePng(image, { text: recipeTexts(recipe) }),
    width: image.width,
    height: image.height,
    seed,
    backend: base.backend,
    phases: PHASE_NAMES.map((name) => ({ name, seconds: seconds(name) })),
    notices: runs.flatMap(({ notices }) => notices),
    memory: mostMemory(runs.flatMap(({ output }) => output.memory ?? [])),
    otherMemory: runs.flatMap(({ output }) => output.otherMemory ?? []),
  };
}

function mostMemory(runs: readonly NonNullable<PipelineOutput['memory']>[]): PipelineOutput['memory'] {
  if (runs.length === 0) return undefined;
  return {
    peakDeviceBytes: Math.max(...runs.map(({ peakDeviceBytes }) => peakDeviceBytes)),
    peakHostBytes: Math.max(...runs.map(({ peakHostBytes }) => peakHostBytes)),
  };
}

/** Seconds by phase. */
type Phases = PipelineOutput['timings'] & { readonly load: number };
const PHASE_NAMES = [
  'load',
  'encode',
  'compile',
  'denoise',
  'decode',
] as const satisfies readonly (keyof Phases)[];

/** What one model made of its part of the work. */
interface Drawn {
  readonly output: PipelineOutput;
  readonly recommended: DiffusionPipeline['recommended'];
  readonly phases: Phases;
  readonly backend: string;
  readonly scheduler: string;
  readonly notices: readonly string[];
}

/** Loads a model, makes one call and lets go of the model. */
async function drawWith(
  request: DevelopRequest,
  model: string,
  optionsOf: (recommended: DiffusionPipeline['recommended']) => CallOptions,
): Promise<Drawn> {
  const { revision, variant, dtype, vaeUpcast, signal, onAdvance } = request;
  const begin = performance.now();
  const isBase = model === request.model;
  const load = isWeightFile(model) ? DiffusionPipeline.fromSingleFile : DiffusionPipeline.fromPretrained;
  const pipe = await load(model, {
    backends: backendsOf(request.backend),
    ...(request.components.size > 0 && { componentBackends: componentBackendsOf(request.components) }),
    dtype,
    ...(request.memory && { memory: request.memory }),
    signal,
    onProgress: (event) => onAdvance(advanceOf(event)),
    ...(revision !== undefined && { revision }),
    ...(variant !== undefined && { variant }),
    ...(vaeUpcast && { vaeUpcast }),
    ...(isBase && request.control && { controlnet: request.control.nets }),
  });
  try {
    if (request.refiner && pipe.className !== 'StableDiffusionXLPipeline')
      throw new OptionError(`'${model}' is a model for ${pipe.className}, and SDXL alone has refiners`, {
        field: '--refiner',
        remedy: 'Leave it out, or give an SDXL model and its refiner.',
      });
    const loadSeconds = (performance.now() - begin) / 1000;
    if (request.scheduler)
      pipe.scheduler = SCHEDULER_PRESETS[request.scheduler].fromConfig(pipe.scheduler.config);
    if (isBase) await loadAdditions(pipe, request);
    const added = isBase ? await applyAdditions(pipe, request.additions, signal) : {};
    const options = { ...optionsOf(pipe.recommended), ...added, signal };
    const output = await takeSteps(pipe, options, onAdvance);
    return {
      output,
      recommended: pipe.recommended,
      phases: { load: loadSeconds, ...output.timings },
      backend: describeBackends(pipe, request.components),
      scheduler: String(pipe.scheduler.config['_class_name']),
      notices: [...pipe.notices, ...output.truncatedPrompts.map((end) => `the model did not read: "${end}"`)],
    };
  } finally {
    await pipe.dispose();
  }
}

/** What denoised, and what components were put elsewhere. */
function describeBackends(
  { backend, componentBackends }: DiffusionPipeline,
  components: ComponentChoices,
): string {
  const elsewhere = [...components.keys()].map((name) => `${name} on ${componentBackends[name].name}`);
  return [`${backend.name}, ${backend.description}`, ...elsewhere].join('; ');
}

/** Loads what --embedding and --lora name. */
async function loadAdditions(
  pipe: DiffusionPipeline,
  { embeddings, loras, signal, onAdvance }: DevelopRequest,
): Promise<void> {
  for (const { source, token } of embeddings) await pipe.loadTextualInversion(source, { token, signal });
  for (const { source, name } of loras)
    await pipe.loadLoraWeights(source, {
      adapterName: name,
      signal,
      onProgress: (event) => onAdvance(advanceOf(event)),
    });
  if (loras.length > 0)
    await pipe.setAdapters(
      loras.map(({ name }) => name),
      loras.map(({ weight }) => weight),
    );
}

/** What a recipe says of how its model was loaded and set up; what is as usual is left out. */
function loadingOf({
  revision,
  variant,
  dtype,
  vaeUpcast,
  scheduler,
  embeddings,
  loras,
  control,
  memory,
  settings,
}: DevelopRequest): Record<string, string> {
  const words = embeddings.map(({ source, token }) => (token === undefined ? source : `${source}:${token}`));
  return {
    ...(revision !== undefined && { revision }),
    ...(variant !== undefined && { variant }),
    ...(dtype !== 'auto' && { dtype }),
    ...(vaeUpcast && { vaeUpcast }),
    ...(scheduler !== undefined && { sampler: scheduler }),
    ...(words.length > 0 && { embeddings: words.join(',') }),
    ...(loras.length > 0 && {
      loras: loras.map(({ source, weight }) => `${source}:${weight}`).join(','),
    }),
    ...(memory && budgetEntries(memory)),
    ...(control && { controlnet: control.nets.join(','), controlImage: control.images.join(',') }),
    ...(settings.controlnetConditioningScale && {
      controlnetConditioningScale: settings.controlnetConditioningScale.join(','),
    }),
    ...(settings.controlGuidanceStart && { controlGuidanceStart: settings.controlGuidanceStart.join(',') }),
    ...(settings.controlGuidanceEnd && { controlGuidanceEnd: settings.controlGuidanceEnd.join(',') }),
    ...(settings.guessMode && { guessMode: 'true' }),
  };
}

function budgetEntries({
  budget,
  componentBudgets,
  hostBudget,
  lossy,
}: MemoryOption): Record<string, string> {
  return {
    budget: String(budget),
    ...(componentBudgets && { componentBudgets: formatByComponent(componentBudgets) }),
    ...(hostBudget !== undefined && { hostBudget: String(hostBudget) }),
    ...(lossy === true && { lossy: 'true' }),
  };
}

/** What was asked for, else what the model recommends; the library fills in the rest. */
function callOptions(
  { prompt, negative, settings, additions }: DevelopRequest,
  recommended: DiffusionPipeline['recommended'],
  seed: number,
) {
  return {
    ...recommended,
    ...settings,
    ...additions.options,
    ...(negative !== undefined && { negativePrompt: negative }),
    prompt,
    seed,
  };
}

/** Runs a call to its end. Steps are reported as the device finishes them, while later ones are being queued. */
async function takeSteps(
  pipe: DiffusionPipeline,
  options: Parameters<DiffusionPipeline['stream']>[0],
  onAdvance: (advance: Advance) => void,
): Promise<PipelineOutput> {
  const steps = pipe.stream(options);
  for await (const { index, total, finished } of steps) {
    if (index === 0) onAdvance({ phase: 'step', done: 0, total });
    const report = (): void => {
      onAdvance({ phase: 'step', done: index + 1, total });
      if (index + 1 === total) onAdvance({ phase: 'decoding', done: 0, total: 1 });
    };
    // A step that fails also fails the stream, which is where the error is handled.
    finished.then(report, () => undefined);
    // A backend that computes on this thread would otherwise keep Ctrl-C from being heard between steps.
    await setImmediate();
  }
  return steps.output;
}

function advanceOf({ phase, item, done, total }: ProgressEvent): Advance {
  return {
    phase: `${PHASES[phase]} ${item}`,
    done,
    total,
    ...((phase === 'download' || phase === 'verify') && { unit: 'bytes' as const }),
  };
}

/** Small enough to be read out and typed again. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}
