/** @file The public API of calotype. */

import { fromPretrainedOn } from './pipelines/from-pretrained.ts';
import type { DiffusionPipeline as Pipeline } from './pipelines/diffusion-pipeline.ts';
import type { ModelSource } from './loaders/model-source.ts';
import type { FromPretrainedOptions } from './pipelines/from-pretrained.ts';
import { platform } from './platform/platform.ts';

/** Loads pipelines: `await DiffusionPipeline.fromPretrained('stabilityai/sdxl-turbo')`. */
export const DiffusionPipeline = {
  /**
   * Loads a model for a backend. Only headers and configurations are read; weights follow with the first call.
   * @param source a folder, a Hub id, a URL, or any `ModelSource`
   * @throws NotFoundError, FileFormatError, ConfigError for the model's files; DownloadError; OptionError for an
   * unknown option; BackendUnavailableError with the reason and remedy for every backend that was tried
   */
  fromPretrained: fromPretrainedOn(platform),
};
/** A loaded pipeline; see `DiffusionPipeline.fromPretrained`. */
export type DiffusionPipeline = Pipeline;

export type { PipelineStream } from './pipelines/diffusion-pipeline.ts';
export type { FromPretrainedOptions } from './pipelines/from-pretrained.ts';
export type { DTypeOption } from './pipelines/load-pipeline.ts';
export type { CallOptions, Seed, StepInfo, Tensor } from './pipelines/options.ts';
export type { ProgressEvent, ProgressListener } from './pipelines/progress.ts';
export type { DenoisingStep, PipelineOutput, Timings } from './pipelines/text-to-image.ts';

export type { Backend, BackendFactory } from './backends/backend.ts';
export { reference } from './backends/reference/reference.ts';
export { webgpu } from './backends/webgpu/backend.ts';
export { findGpu, type FoundGpu } from './platform/gpu.ts';

export { DDIMScheduler } from './schedulers/ddim.ts';
export { DPMSolverMultistepScheduler } from './schedulers/dpm-solver-multistep.ts';
export { EulerAncestralDiscreteScheduler } from './schedulers/euler-ancestral-discrete.ts';
export { EulerDiscreteScheduler } from './schedulers/euler-discrete.ts';
export type { Scheduler, SchedulerConfig, StepCoefficients } from './schedulers/scheduler.ts';

export { Generator } from './random/generator.ts';
export { PhiloxGenerator } from './random/philox.ts';
export { Tokenizer } from './text/tokenizer.ts';
export { encodePng, decodePng } from './image/png.ts';
export type { CalotypeImage } from './image/image.ts';
export { readRecipe, recipeTexts, type Recipe } from './image/recipe.ts';

export { blobModelSource, httpModelSource, pickedFolderSource } from './loaders/model-source.ts';
export type { ModelSource } from './loaders/model-source.ts';
export type { ByteSource } from './loaders/byte-source.ts';

/** The files behind a folder, Hub id or URL, as `fromPretrained` finds them. */
export const openModel = (
  source: string,
  options: FromPretrainedOptions = {},
  onNotice: (notice: string) => void = () => undefined,
): Promise<ModelSource> => platform.resolveModel(source, options, onNotice);
export { openBackend } from './pipelines/from-pretrained.ts';
export { inspectModel, type ModelReport } from './pipelines/inspect-model.ts';
export type { NetworkReport, ProgramReport } from './pipelines/inspect.ts';
export { benchmarkModel, type ModelBenchmarkOptions } from './pipelines/benchmark-model.ts';
export {
  benchmarkUNet,
  type BenchmarkOptions,
  type StepBenchmark,
  type TimedOp,
} from './pipelines/benchmark.ts';

export {
  BackendUnavailableError,
  CalotypeError,
  ConfigError,
  DeviceLostError,
  DownloadError,
  FileFormatError,
  GraphError,
  KernelError,
  NotFoundError,
  OptionError,
  OutOfMemoryError,
} from './errors.ts';
export type { BackendAttempt, ErrorDetails } from './errors.ts';
