/** @file `DiffusionPipeline`: the two ways to load a pipeline, for a platform. */

import type { ByteSource } from '../../loaders/byte-source.ts';
import { later } from '../../later.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import type { DiffusionPipeline } from '../diffusion-pipeline.ts';
import { fromPretrainedOn, type FromPretrainedOptions, type Platform } from './from-pretrained.ts';
import type { FromSingleFileOptions } from './from-single-file.ts';

/** Loads pipelines: `await DiffusionPipeline.fromPretrained('stabilityai/sdxl-turbo')`. */
export interface PipelineLoader {
  /**
   * Loads a model for a backend. Only headers and configurations are read; weights follow with the first call.
   * @param source a folder, a Hub id, a URL, or any `ModelSource`
   * @throws NotFoundError, FileFormatError, ConfigError for the model's files; DownloadError; OptionError for an
   * unknown option; BackendUnavailableError with the reason and remedy for every backend that was tried
   */
  readonly fromPretrained: (
    source: string | ModelSource,
    options?: FromPretrainedOptions,
  ) => Promise<DiffusionPipeline>;
  /**
   * Loads a checkpoint: one safetensors file in the original layout, as sd-webui and ComfyUI use them (Stable
   * Diffusion 1.x, 2.x, XL). Its kind and configurations are read off its tensors. It holds no tokenizer: that of the
   * Hub repository published with its kind is taken unless `config` or `tokenizer` names another.
   * @param source a path, a URL, `owner/name/file.safetensors` on the Hub, or any `ByteSource`
   * @throws FileFormatError for pickles (.ckpt), GGUF, quantised weights and unknown layouts; ConfigError for models of
   * kinds that are not supported; NotFoundError where there is no tokenizer; and what `fromPretrained` throws
   */
  readonly fromSingleFile: (
    source: string | ByteSource,
    options?: FromSingleFileOptions,
  ) => Promise<DiffusionPipeline>;
}

/** The loader of a platform. */
export function pipelineLoader(platform: Platform): PipelineLoader {
  return {
    fromPretrained: fromPretrainedOn(platform),
    fromSingleFile: async (source, options) =>
      (await later('single-file checkpoints', () => import('./from-single-file.ts'))).fromSingleFileOn(
        platform,
      )(source, options),
  };
}
