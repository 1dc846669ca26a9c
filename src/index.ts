/** @file The public API of calotype. */

import type { DiffusionPipeline as Pipeline } from './pipelines/diffusion-pipeline.ts';
import type { ModelSource } from './loaders/model-source.ts';
import type { ByteSource } from './loaders/byte-source.ts';
import type { FromPretrainedOptions } from './pipelines/load/from-pretrained.ts';
import type { FromSingleFileOptions, OpenCheckpoint } from './pipelines/load/from-single-file.ts';
import { pipelineLoader, type PipelineLoader } from './pipelines/load/pipeline-loader.ts';
import { later } from './later.ts';
import { platform } from './platform/platform.ts';

/** Loads pipelines: `await DiffusionPipeline.fromPretrained('stabilityai/sdxl-turbo')`. */
export const DiffusionPipeline: PipelineLoader = /* @__PURE__ */ pipelineLoader(platform);
/** A loaded pipeline; see `DiffusionPipeline.fromPretrained`. */
export type DiffusionPipeline = Pipeline;

export type {
  BatchListener,
  ContinuousBatch,
  ContinuousBatchOptions,
} from './pipelines/batch/continuous-batch.ts';
export type { LoadTextualInversionOptions, PipelineBackend } from './pipelines/diffusion-pipeline.ts';
export type { PipelineStream } from './pipelines/pipeline-stream.ts';
export type { Checkpoint } from './pipelines/checkpoint.ts';
export type { PromptTokens } from './pipelines/prompt/count-tokens.ts';
export type { AddedFileSource } from './pipelines/load/added-file.ts';
export type { ControlOptions } from './pipelines/control/control-options.ts';
export type { PipelineLoader } from './pipelines/load/pipeline-loader.ts';
export type { FreeUOptions } from './pipelines/guidance/freeu.ts';
export { HIRES_UPSCALERS, type HiresOptions, type HiresUpscaler } from './pipelines/image/hires-options.ts';
export type { ImagePromptOptions } from './pipelines/ip-adapter/image-prompt-options.ts';
export type {
  IpAdapterMethods,
  IpAdapterScale,
  LoadIpAdapterOptions,
} from './pipelines/ip-adapter/ip-adapters.ts';
export type { FromPretrainedOptions } from './pipelines/load/from-pretrained.ts';
export type { FromSingleFileOptions, OpenCheckpoint } from './pipelines/load/from-single-file.ts';
export type { DTypeOption, VaeUpcast } from './pipelines/load/loaded-pipeline.ts';
export type { EncodePromptOptions, PromptEmbeddings } from './pipelines/prompt/encode-prompt.ts';
export type { AdapterWeight } from './pipelines/lora/adapter-weights.ts';
export type { UNetAdapterWeights } from './pipelines/ip-adapter/block-weights.ts';
export type { LoadLoraOptions, LoraMethods, UsedAdapter } from './pipelines/lora/lora-adapters.ts';
export type {
  CallOptions,
  FinishedStep,
  Seed,
  StepChange,
  StepInfo,
  Tensor,
  TextOptions,
} from './pipelines/options/call-options.ts';
export type { MemoryOption } from './pipelines/memory/memory-option.ts';
export type { ComponentReport, DeviceMemoryReport, MemoryReport } from './pipelines/memory/memory-report.ts';
export type { PromptSyntax } from './text/prompt-tokens.ts';
export type { VaeSettings } from './pipelines/image/vae.ts';
export type { ProgressEvent, ProgressListener } from './pipelines/progress.ts';
export type { RecommendedSettings } from './pipelines/load/recommended-settings.ts';
export type { DenoisingStep, PipelineOutput, Timings, UsedOptions } from './pipelines/draw.ts';
export type { ComponentMemory, UsedMemory } from './pipelines/memory/used-memory.ts';

export type { Backend, BackendFactory, Peak } from './backends/backend.ts';
export type { FloatDType } from './tensor/dtype.ts';
export { cpu, type CpuOptions } from './backends/cpu/cpu.ts';
export { reference } from './backends/reference/reference.ts';
export { webgpu } from './backends/webgpu/webgpu.ts';
export type { WebGpuOptions } from './backends/webgpu/acquire.ts';
export { FUSIONS } from './plan/target.ts';
export { DAWN_SETTINGS, type DawnSetting } from './platform/dawn-settings.ts';
export { findGpu, type FoundGpu } from './platform/gpu.ts';

export * from './schedulers/index.ts';
export { SCHEDULER_PRESET_NAMES, SCHEDULER_PRESETS, type SchedulerPreset } from './schedulers/presets.ts';
export {
  samplerOfScheduler,
  schedulerOfSampler,
  WEBUI_SAMPLERS,
  WEBUI_SCHEDULE_TYPES,
} from './schedulers/webui-samplers.ts';
export type { Scheduler, SchedulerConfig, StepCoefficients } from './schedulers/scheduler.ts';

export { Generator } from './random/generator.ts';
export { PhiloxGenerator } from './random/philox.ts';
export { Tokenizer } from './text/tokenizer.ts';
export { encodePng, decodePng } from './image/png.ts';
export type { CalotypeImage } from './image/image.ts';
export { parseWebuiParameters, type WebuiParameters } from './image/webui-parameters.ts';
export { readRecipe, recipeTexts, type Recipe } from './image/recipe.ts';

export { openModelCache } from './platform/opfs-store.ts';
export type { CachedModel, ModelCache } from './loaders/cache/model-cache.ts';
export { blobModelSource, httpModelSource, pickedFolderSource } from './loaders/model-source.ts';
export type { ModelSource } from './loaders/model-source.ts';
export { blobSource, type ByteSource } from './loaders/byte-source.ts';

/** The files behind a folder, Hub id or URL, as `fromPretrained` finds them. */
export const openModel = (
  source: string,
  options: FromPretrainedOptions = {},
  onNotice: (notice: string) => void = () => undefined,
): Promise<ModelSource> => platform.resolveModel(source, options, onNotice);
/** A checkpoint in the original layout as a model folder, to be closed, as `fromSingleFile` finds it. */
export const openSingleFile = async (
  source: string | ByteSource,
  options: FromSingleFileOptions = {},
  onNotice: (notice: string) => void = () => undefined,
): Promise<OpenCheckpoint> =>
  (
    await later('single-file checkpoints', () => import('./pipelines/load/from-single-file.ts'))
  ).openCheckpoint(platform, source, options, onNotice);
export { readBytes } from './pipelines/memory/memory-option.ts';
export { isWeightFile } from './pipelines/load/weight-file-name.ts';
export { openBackend, type OpenBackendOptions } from './pipelines/load/open-backend.ts';
export type { ComponentBackends } from './pipelines/load/component-backends.ts';
export type { ComponentName } from './pipelines/load/placement.ts';
export { inspectModel, type ModelReport } from './pipelines/inspect/inspect-model.ts';
export type { NetworkReport, ProgramReport } from './pipelines/inspect/inspect.ts';
export { benchmarkModel, type ModelBenchmarkOptions } from './pipelines/inspect/benchmark-model.ts';
export type { NetworkBenchmark, TimedOp, TimingOptions } from './pipelines/inspect/benchmark.ts';

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
export { nearestNames } from './nearest-names.ts';
export { rebuildError, sendError } from './worker/sent-error.ts';
export type { SentError } from './worker/protocol.ts';
