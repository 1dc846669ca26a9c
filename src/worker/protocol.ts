/**
 * @file What a page and its worker say to each other: requests with a number, and for each any count of events and then
 * one result or failure. Everything here can be cloned; big buffers are transferred.
 */
import type { BackendAttempt } from '../errors.ts';
import type { CalotypeImage } from '../image/image.ts';
import type { Recipe } from '../image/recipe.ts';
import type { StoreEstimate } from '../loaders/cache/chunk-store.ts';
import type { CachedModel } from '../loaders/cache/model-cache.ts';
import type { ComponentName } from '../pipelines/load/placement.ts';
import type { DTypeOption } from '../pipelines/load/loaded-pipeline.ts';
import type { CallOptions, StepInfo } from '../pipelines/options/call-options.ts';
import type { AdapterWeight } from '../pipelines/lora/adapter-weights.ts';
import type { LoadLoraOptions } from '../pipelines/lora/lora-adapters.ts';
import type { LoadTextualInversionOptions } from '../pipelines/diffusion-pipeline.ts';
import type { MemoryOption } from '../pipelines/memory/memory-option.ts';
import type { PromptTokens } from '../pipelines/prompt/count-tokens.ts';
import type { PromptSyntax } from '../text/prompt-tokens.ts';
import type { PipelineOutput } from '../pipelines/draw.ts';
import type { ProgressEvent } from '../pipelines/progress.ts';
import type { RecommendedSettings } from '../pipelines/load/recommended-settings.ts';
import type { SchedulerName } from '../schedulers/load.ts';

/** A .safetensors file as a page has it: a URL, a Hub id, `owner/name/file.safetensors` on the Hub, or a picked file. */
export type WorkerFile = string | { readonly name: string; readonly file: Blob };

/** Files of a picked or dropped folder, by their paths in it. */
export interface WorkerFolder {
  readonly name: string;
  readonly files: ReadonlyMap<string, Blob>;
}

/** What a .safetensors file can be. */
export type FileKind = 'checkpoint' | 'lora' | 'embedding' | 'controlnet';

/** A model as a page has it. */
export type WorkerModel =
  /** A Hub id or a URL of a diffusers folder. */
  | string
  /** A picked or dropped diffusers folder. */
  | WorkerFolder
  /** A checkpoint in the original layout: a picked file, a URL, or `owner/name/file.safetensors` on the Hub. */
  | { readonly name: string; readonly checkpoint: Blob | string };

/** A backend as a page names it. */
export type WorkerBackend = 'webgpu' | 'webgpu-software' | 'cpu';

/** Options of loading. */
export interface WorkerLoadOptions {
  readonly revision?: string;
  readonly variant?: string;
  readonly dtype?: DTypeOption;
  /** Tried in this order. Default: `webgpu`, then `cpu`. */
  readonly backends?: readonly WorkerBackend[];
  /** Components on other backends than the rest; one that is named more than once is opened once. */
  readonly componentBackends?: { readonly [Component in ComponentName]?: WorkerBackend };
  /** ControlNets for `controlImage`: for each a file or a diffusers folder. */
  readonly controlnet?: readonly (WorkerFile | WorkerFolder)[];
  /** How many bytes the pipeline may take. Default: as many as it needs to have everything on the device. */
  readonly memory?: MemoryOption;
}

/** Options of loading a LoRA; a name is needed. */
export type WorkerLoraOptions = Omit<LoadLoraOptions, 'signal' | 'onProgress' | 'adapterName'> & {
  readonly adapterName: string;
};

/** Options of loading a textual inversion. */
export type WorkerInversionOptions = Omit<LoadTextualInversionOptions, 'signal'>;

/** What was loaded. */
export interface LoadedModel {
  readonly className: string;
  readonly backend: {
    readonly name: string;
    readonly description: string;
    readonly lacks?: readonly string[];
  };
  /** The class of its own scheduler. */
  readonly scheduler: string;
  readonly recommended: RecommendedSettings;
  readonly notices: readonly string[];
}

/** A scheduler by its short name, made from the model's own configuration. */
export interface SchedulerChoice {
  readonly name: SchedulerName;
  /** Settings in place of the configuration's, for example `{ useKarrasSigmas: true }`. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** Options of a call that can be sent to a worker. */
export type WorkerCallOptions = Omit<CallOptions, 'signal' | 'callbackOnStepEnd'> & {
  /** Default: the model's own. */
  readonly scheduler?: SchedulerChoice;
  /** Send a small preview with each step. Default false. */
  readonly previews?: boolean;
};

/** A step that was queued on the device. */
export interface WorkerStep extends StepInfo {
  /** One for each image, if previews were asked for. */
  readonly previews: readonly CalotypeImage[];
}

/** A call's result. */
export interface WorkerOutput extends PipelineOutput {
  /** The class of the scheduler that was used, for recipes. */
  readonly scheduler: string;
  /** What took the device away, if it was lost and the picture was finished on a new one. */
  readonly recoveredFrom?: string;
  /** The steps that were done by then, and were not done again. */
  readonly recoveredAt?: number;
}

/** The model cache of this origin. */
export interface CacheState {
  readonly models: readonly CachedModel[];
  readonly room: StoreEstimate;
  /** Whether the browser promised to keep it. */
  readonly persisted: boolean;
}

/** What each request takes and gives. */
export interface WorkerCalls {
  load: {
    readonly takes: { readonly model: WorkerModel; readonly options: WorkerLoadOptions };
    readonly gives: LoadedModel;
  };
  /** Loads a LoRA and makes it the active one; gives what is to be said about it. */
  loadLoraWeights: {
    readonly takes: { readonly file: WorkerFile; readonly options: WorkerLoraOptions };
    readonly gives: readonly string[];
  };
  setAdapters: {
    readonly takes: { readonly names: readonly string[]; readonly weights: readonly AdapterWeight[] };
    readonly gives: undefined;
  };
  deleteAdapters: { readonly takes: readonly string[]; readonly gives: undefined };
  /** Gives the words. */
  loadTextualInversion: {
    readonly takes: { readonly file: WorkerFile; readonly options: WorkerInversionOptions };
    readonly gives: readonly string[];
  };
  unloadTextualInversion: { readonly takes: readonly string[]; readonly gives: undefined };
  countTokens: {
    readonly takes: { readonly prompt: string; readonly syntax: PromptSyntax };
    readonly gives: PromptTokens;
  };
  /** What a .safetensors file is. */
  fileKind: { readonly takes: { readonly name: string; readonly file: Blob }; readonly gives: FileKind };
  draw: { readonly takes: WorkerCallOptions; readonly gives: WorkerOutput };
  /** A picture as a PNG file, with the recipe in its texts. */
  encodePng: {
    readonly takes: { readonly image: CalotypeImage; readonly recipe: Recipe };
    readonly gives: Blob;
  };
  /** The picture in a PNG file, and its recipe if calotype made it. */
  decodePng: {
    readonly takes: { readonly name: string; readonly png: Blob };
    readonly gives: { readonly image: CalotypeImage; readonly recipe: Recipe | undefined };
  };
  /** What the model cache holds; undefined where pages have none. */
  cache: { readonly takes: undefined; readonly gives: CacheState | undefined };
  /** Removes a model from the cache, by its name. */
  uncache: { readonly takes: string; readonly gives: undefined };
  dispose: { readonly takes: undefined; readonly gives: undefined };
}

/** The name of a request. */
export type CallName = keyof WorkerCalls;

/** A request of any kind. */
export type WorkerRequest = {
  [Name in CallName]: {
    readonly id: number;
    readonly call: Name;
    readonly takes: WorkerCalls[Name]['takes'];
  };
}[CallName];

/** What a page says. */
export type ToWorker = WorkerRequest | { readonly abort: number };

/** An error as data; `rebuildError` makes an error of it again. */
export interface SentError {
  /** The class's code, or undefined for errors that are not calotype's. */
  readonly code: string | undefined;
  readonly name: string;
  readonly message: string;
  readonly problem: string;
  readonly file: string | undefined;
  readonly field: string | undefined;
  readonly remedy: string;
  readonly attempts: readonly BackendAttempt[];
}

/** What a worker says about the request of that number. */
export type FromWorker = { readonly id: number } & (
  | { readonly progress: ProgressEvent }
  | { readonly step: WorkerStep }
  | { readonly gives: unknown }
  | { readonly failed: SentError }
);
