/** @file What every API turns its requests into: one kind of job, which queues hold and runners draw. */
import type { HiresOptions, SchedulerPreset, Seed } from 'calotype';
import type { Phases } from './phases.ts';
import { pngSize } from './limits/png-size.ts';
import { schedulerKind } from './scheduler-kind.ts';

/** A picture that a request brings, as a PNG file. */
export type PngFile = Uint8Array;

/** A job: plain data, but for the PNG files. What is undefined is as the model recommends, else the library's default. */
export interface DrawRequest {
  /** Name of a served model. */
  readonly model: string;
  readonly prompt: string;
  readonly negativePrompt?: string;
  readonly promptSyntax: 'plain' | 'webui';
  readonly width?: number;
  readonly height?: number;
  readonly numInferenceSteps?: number;
  readonly guidanceScale?: number;
  readonly guidanceRescale?: number;
  readonly clipSkip?: number;
  readonly eta?: number;
  /** One for each picture, chosen when the job is accepted, so that a second attempt gives the same pictures. */
  readonly seeds: readonly Seed[];
  /** Default: the model's own. */
  readonly scheduler?: SchedulerPreset;
  readonly image?: PngFile;
  readonly mask?: MaskFile;
  readonly strength?: number;
  /** Paint the part around the mask, with so many pixels more, at the size of the request. */
  readonly paddingMaskCrop?: number;
  /** A second pass at a larger size; of a text with a size of its own only. */
  readonly hires?: HiresOptions;
  /** More to say of its pictures, by stable-diffusion-webui's names. */
  readonly webuiSettings?: Readonly<Record<string, string | number>>;
  /** ControlNets that take part, each once. */
  readonly controls?: readonly ControlRequest[];
  /** ControlNets take part in the prompt's half of the guidance only. */
  readonly guessMode?: boolean;
  /** IP-Adapters that take part, each once. */
  readonly imagePrompts?: readonly ImagePromptRequest[];
  /** Previews to send while it is drawn, spread evenly over the steps. */
  readonly previews: number;
  /** Default PNG. */
  readonly output?: OutputFile;
}

/** A picture that goes with a ControlNet or an IP-Adapter. */
export interface ImagePromptRequest {
  /** A name that is served with the model. */
  readonly name: string;
  readonly image: PngFile;
  /** How much of it counts. */
  readonly scale: number;
}

/** A ControlNet that takes part. */
export interface ControlRequest extends ImagePromptRequest {
  /** The part of the steps in which it does, 0 to 1. */
  readonly start: number;
  readonly end: number;
}

/** What pictures are to be. */
export interface OutputFile {
  readonly format: OutputFormat;
  /** 0 to 100; PNG files lose nothing whatever it is. */
  readonly quality: number;
}

export const OUTPUT_FORMATS = ['png', 'jpeg', 'webp'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** What is given where nothing is asked for. */
export const PNG: OutputFile = { format: 'png', quality: 100 };

/** Where to paint: `white` or `black` pixels (sd-webui) or `transparent` ones (OpenAI). */
export interface MaskFile {
  readonly png: PngFile;
  readonly paint: 'white' | 'black' | 'transparent';
}

/** A finished step of a job. */
export interface DrawStep {
  /** Steps that are done. */
  readonly done: number;
  readonly total: number;
  /** Small PNG files, one for each picture of the job, or none at this step. */
  readonly previews: readonly PngFile[];
}

/** One picture. */
export interface Picture {
  readonly file: Uint8Array;
  readonly format: OutputFormat;
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  /** sd-webui's description of it, as in the file if that is PNG. */
  readonly parameters: string;
}

/** A job's result. */
export interface DrawResult {
  readonly pictures: readonly Picture[];
  /** What was ignored or cut off, for people. */
  readonly notices: readonly string[];
  /** Seconds of computing, loading included; pictures of a batch share them. */
  readonly seconds: number;
  /** Where they went. */
  readonly phases: Phases;
  /** Seconds that the runner's thread, which feeds the device, was at work since the job that it drew before. */
  readonly busySeconds: number;
}

const LORA_TAG = /<lora:[^>]*>/g;

/**
 * Jobs with equal keys are expected to share steps, and may be drawn by one runner at the same time; undefined for those
 * that are drawn alone. What a batch cannot know of a model is left to the pipeline, which keeps apart what does not fit.
 */
export function batchKey(request: DrawRequest): string | undefined {
  const { model, prompt, promptSyntax, width, height, guidanceScale, guidanceRescale, scheduler } = request;
  const { image, mask, hires, controls = [], imagePrompts = [] } = request;
  if (hires !== undefined || mask !== undefined || controls.length > 0 || imagePrompts.length > 0)
    return undefined;
  const size =
    width === undefined && height === undefined && image ? pngSize(image, 'image') : { width, height };
  return JSON.stringify([
    model,
    size,
    guidanceScale === undefined ? 'recommended' : guidanceScale > 1,
    guidanceRescale,
    scheduler === undefined ? 'recommended' : schedulerKind(scheduler),
    promptSyntax === 'webui' ? (prompt.match(LORA_TAG) ?? []) : [],
  ]);
}
