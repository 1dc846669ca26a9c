/** @file The public API of `calotype/worker`. */
export type { CalotypeImage } from '../image/image.ts';
export type { Recipe } from '../image/recipe.ts';
export type { AdapterWeight } from '../pipelines/lora/adapter-weights.ts';
export type { MemoryOption } from '../pipelines/memory/memory-option.ts';
export type { PromptTokens } from '../pipelines/prompt/count-tokens.ts';
export type { ProgressEvent } from '../pipelines/progress.ts';
export type { RecommendedSettings } from '../pipelines/load/recommended-settings.ts';
export {
  DiffusionWorker,
  type DrawOptions,
  type RequestOptions,
  type WorkerLike,
} from './diffusion-worker.ts';
export type {
  CacheState,
  FileKind,
  LoadedModel,
  SchedulerChoice,
  WorkerCallOptions,
  WorkerFile,
  WorkerFolder,
  WorkerInversionOptions,
  WorkerLoadOptions,
  WorkerLoraOptions,
  WorkerModel,
  WorkerOutput,
  WorkerStep,
} from './protocol.ts';
