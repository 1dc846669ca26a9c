/** @file The public API of `calotype/worker`. */
export type { CalotypeImage } from '../image/image.ts';
export type { Recipe } from '../image/recipe.ts';
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
  LoadedModel,
  SchedulerChoice,
  WorkerCallOptions,
  WorkerLoadOptions,
  WorkerModel,
  WorkerOutput,
  WorkerStep,
} from './protocol.ts';
