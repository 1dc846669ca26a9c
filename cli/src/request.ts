/** @file Turns the arguments of `calotype generate` into a checked request. */
import { OptionError, SCHEDULER_PRESET_NAMES, type MemoryOption, type SchedulerPreset } from 'calotype';
import { readAdditions, type Additions } from './additions.ts';
import { argumentReader, checkOneForEach, listOf } from './arguments.ts';
import { readBackend, type BackendChoice } from './backends.ts';
import { readBudget } from './budget.ts';
import { readComponentBackends, type ComponentChoices } from './component-backends.ts';
import { readChoice, readInteger, readNumber, readSize } from './options.ts';

/** Storage types by the names that --dtype takes. */
const DTYPES = ['auto', 'f16', 'bf16', 'f32'] as const;
/** What --vae-upcast takes. */
const VAE_UPCASTS = ['whole', 'overflow'] as const;
const SYNTAXES = ['plain', 'webui'] as const;
/** The arguments as citty gives them: text, or nothing. */
type GenerateArguments = Readonly<Record<string, unknown>>;

/** What was asked for; what was not given is undefined, or absent from `settings`. */
export interface GenerateRequest {
  readonly prompt: string;
  readonly negative: string | undefined;
  readonly output: string;
  readonly model: string | undefined;
  readonly revision: string | undefined;
  readonly variant: string | undefined;
  readonly dtype: (typeof DTYPES)[number];
  readonly vaeUpcast: (typeof VAE_UPCASTS)[number] | undefined;
  readonly backend: BackendChoice;
  readonly components: ComponentChoices;
  /** For each model. */
  readonly memory: MemoryOption | undefined;
  readonly scheduler: SchedulerPreset | undefined;
  readonly seed: number | undefined;
  /** Names of PNG files. */
  readonly image: string | undefined;
  readonly mask: string | undefined;
  /** A second model that takes over at a share of the schedule. */
  readonly refiner: { readonly model: string; readonly start: number } | undefined;
  /** Textual inversions, with the words that they are to have. */
  readonly embeddings: readonly Embedding[];
  /** LoRA files, with their weights. */
  readonly loras: readonly Lora[];
  readonly control: ControlRequest | undefined;
  readonly additions: Additions;
  readonly settings: Settings;
}

/** A LoRA file. */
interface Lora {
  readonly source: string;
  /** What prompts call it: the name of the file. */
  readonly name: string;
  readonly weight: number;
}

/** ControlNets and what they see, one picture for each. */
interface ControlRequest {
  readonly nets: readonly string[];
  readonly images: readonly string[];
}

/** A textual inversion. */
interface Embedding {
  readonly source: string;
  /** Default: the one in the file. */
  readonly token: string | undefined;
}

/** Options of the pipeline call; given ones count more than those that a model recommends. */
interface Settings {
  readonly prompt2?: string;
  readonly negativePrompt2?: string;
  readonly promptSyntax?: (typeof SYNTAXES)[number];
  readonly clipSkip?: number;
  readonly numInferenceSteps?: number;
  readonly guidanceScale?: number;
  readonly guidanceRescale?: number;
  readonly strength?: number;
  readonly width?: number;
  readonly height?: number;
  readonly controlnetConditioningScale?: readonly number[];
  readonly controlGuidanceStart?: readonly number[];
  readonly controlGuidanceEnd?: readonly number[];
  readonly guessMode?: boolean;
}

/** @throws OptionError that names the option and the remedy. */
export function readGenerateRequest(args: GenerateArguments): GenerateRequest {
  const { text, read } = argumentReader<string>(args);
  const steps = read('steps', (option, value) => readInteger(option, value, { min: 1, max: 10_000 }));
  const guidance = read('guidance', (option, value) => readNumber(option, value));
  const rescale = read('guidance-rescale', (option, value) => readNumber(option, value, { min: 0, max: 1 }));
  const strength = read('strength', (option, value) => readNumber(option, value, { min: 0, max: 1 }));
  const size = read('size', readSize);
  const syntax = read('prompt-syntax', (option, value) => readChoice(option, value, SYNTAXES));
  const clipSkip = read('clip-skip', (option, value) => readInteger(option, value, { min: 0, max: 1024 }));
  const [prompt, prompt2, negative2] = ['prompt', 'prompt-2', 'negative-2'].map(text);
  if (prompt === undefined)
    throw new OptionError('is missing', {
      field: 'PROMPT',
      remedy: 'Say what to draw, in quotes, or give --config picture.png.',
    });
  const image = text('image');
  for (const name of ['mask', 'strength'])
    if (image === undefined && text(name) !== undefined)
      throw new OptionError('there is no image that it could apply to', {
        field: `--${name}`,
        remedy: 'Give one with --image file.png.',
      });
  const control = readControl(listOf(text('controlnet')), listOf(text('control-image')));
  const controlNumbers = (name: string): readonly number[] | undefined => {
    const numbers = read(name, (option, value) => listOf(value).map((part) => readNumber(option, part)));
    if (numbers === undefined) return undefined;
    if (control === undefined)
      throw new OptionError('there is no ControlNet that it could apply to', {
        field: `--${name}`,
        remedy: 'Give one with --controlnet model --control-image file.png.',
      });
    return control.nets.map((_, i) => numbers[i] ?? numbers[numbers.length - 1]);
  };
  const [scale, from, to] = ['control-scale', 'control-start', 'control-end'].map(controlNumbers);
  const refiner = text('refiner');
  const refinerStart = read('refiner-start', (option, value) =>
    readNumber(option, value, { min: 0, max: 1 }),
  );
  if (refiner === undefined && refinerStart !== undefined)
    throw new OptionError('there is no refiner that it could apply to', {
      field: '--refiner-start',
      remedy: 'Give one with --refiner model.',
    });
  return {
    prompt,
    negative: text('negative'),
    output: text('output') ?? 'calotype.png',
    model: text('model'),
    revision: text('revision'),
    variant: text('variant'),
    dtype: read('dtype', (option, value) => readChoice(option, value, DTYPES)) ?? 'auto',
    vaeUpcast: read('vae-upcast', (option, value) => readChoice(option, value, VAE_UPCASTS)),
    backend: readBackend(args),
    components: readComponentBackends(args),
    memory: readBudget(args),
    scheduler: read('scheduler', (option, value) => readChoice(option, value, SCHEDULER_PRESET_NAMES)),
    seed: read('seed', (option, value) => readInteger(option, value, { min: 0 })),
    image,
    mask: text('mask'),
    refiner: refiner === undefined ? undefined : { model: refiner, start: refinerStart ?? 0.8 },
    embeddings: listOf(text('embedding')).map(readEmbedding),
    loras: listOf(text('lora')).map(readLora),
    control,
    additions: readAdditions(args),
    settings: {
      ...(prompt2 !== undefined && { prompt2 }),
      ...(negative2 !== undefined && { negativePrompt2: negative2 }),
      ...(syntax !== undefined && { promptSyntax: syntax }),
      ...(clipSkip !== undefined && { clipSkip }),
      ...(steps !== undefined && { numInferenceSteps: steps }),
      ...(guidance !== undefined && { guidanceScale: guidance }),
      ...(rescale !== undefined && { guidanceRescale: rescale }),
      ...(strength !== undefined && { strength }),
      ...(scale && { controlnetConditioningScale: scale }),
      ...(from && { controlGuidanceStart: from }),
      ...(to && { controlGuidanceEnd: to }),
      ...((args['guess-mode'] === true || text('guess-mode') === 'true') && { guessMode: true }),
      ...size,
    },
  };
}

/** ControlNets with one picture each, or none of both. */
function readControl(nets: readonly string[], images: readonly string[]): ControlRequest | undefined {
  if (nets.length === 0 && images.length === 0) return undefined;
  checkOneForEach('--control-image', images, 'ControlNet', nets);
  return { nets, images };
}

/** `FILE` or `FILE:WEIGHT`. */
function readLora(text: string): Lora {
  const [, source = text, weight = '1'] = /^(.+):([-+]?(?:\d+\.?\d*|\.\d+))$/.exec(text) ?? [];
  // What stands behind the name of a file can only be meant as its weight.
  const [, rest] = /\.safetensors:([^/\\]*)$/i.exec(source) ?? [];
  if (rest !== undefined)
    throw new OptionError(`'${rest}' is not a weight`, {
      field: '--lora',
      remedy: `Give a number, such as --lora ${source.slice(0, source.length - rest.length)}0.8.`,
    });
  const name = source
    .replace(/[/\\]+$/, '')
    .replace(/^.*[/\\]/, '')
    .replace(/\.safetensors$/i, '');
  return { source, name, weight: Number(weight) };
}

/** `FILE` or `FILE:WORD`. The colon of `https://` and that of a drive stand before a slash. */
function readEmbedding(text: string): Embedding {
  const [, source = text, token] = /^(.+):([^/\\]+)$/.exec(text) ?? [];
  return { source, token };
}
