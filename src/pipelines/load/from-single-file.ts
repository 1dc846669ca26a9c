/** @file `DiffusionPipeline.fromSingleFile`: a checkpoint in the original layout becomes a pipeline. */

import { ConfigError, type CalotypeError } from '../../errors.ts';
import type { ByteSource } from '../../loaders/byte-source.ts';
import { isUsableClass } from '../../loaders/configs/model-index.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../../loaders/safetensors.ts';
import { readCheckpoint } from '../../loaders/single-file/checkpoint.ts';
import { checkpointSource } from '../../loaders/single-file/checkpoint-source.ts';
import type { DiffusionPipeline as Pipeline } from '../diffusion-pipeline.ts';
import { checkLoadOptions, checkSource } from './check-load-options.ts';
import { startPipeline, type FromPretrainedOptions, type Platform } from './from-pretrained.ts';

/** Options of `fromSingleFile`: those of `fromPretrained` but `variant`, and where to find what the file lacks. */
export interface FromSingleFileOptions extends Omit<FromPretrainedOptions, 'variant'> {
  /**
   * A diffusers model (folder, Hub id, URL or ModelSource) to take configurations, scheduler and tokenizers from,
   * as diffusers' `config`. Default: configurations are read off the file, and tokenizers come from the Hub
   * repository that was published with models of its kind.
   */
  readonly config?: string | ModelSource;
  /**
   * Where a CLIP vocabulary is: a folder, Hub id, URL or ModelSource with vocab.json and merges.txt (or
   * tokenizer.json), in it or in its folder `tokenizer`. All kinds share one vocabulary, so any model's will do.
   */
  readonly tokenizer?: string | ModelSource;
}

const OPTIONS = [
  'revision',
  'dtype',
  'vaeUpcast',
  'vae',
  'controlnet',
  'memory',
  'config',
  'tokenizer',
  'backends',
  'componentBackends',
  'signal',
  'onProgress',
] as const satisfies readonly (keyof FromSingleFileOptions)[];

/** How many tensors without a place a notice names. */
const SHOWN = 5;

/** A checkpoint as a model folder; `close` it unless a pipeline was made of it. */
export interface OpenCheckpoint {
  /** Its parts, as they would lie in a diffusers folder. */
  readonly model: ModelSource;
  /** Closes the file. */
  close(): Promise<void>;
}

/** Opens a checkpoint: its header is read, and nothing else. Throws as `fromSingleFile` does. */
export async function openCheckpoint(
  platform: Platform,
  source: string | ByteSource,
  options: FromSingleFileOptions,
  onNotice: (notice: string) => void,
): Promise<OpenCheckpoint> {
  const { signal } = options;
  const bytes = typeof source === 'string' ? await platform.openFile(source, options, onNotice) : source;
  try {
    const file = await openSafetensors(bytes, signal);
    const checkpoint = await readCheckpoint(file, signal);
    const { kind, strangers } = checkpoint;
    if (options.config === undefined && !isUsableClass(kind.className))
      throw notSupported(file, kind.title, kind.className);
    if (strangers.length > 0)
      onNotice(
        `${file.name}: ${strangers.length} tensors belong to no part of the model and are not used: ` +
          strangers.slice(0, SHOWN).join(', '),
      );
    // `revision` is that of the checkpoint's repository.
    const { revision: _revision, ...others } = options;
    const resolve = async (place: string): Promise<ModelSource> =>
      platform.resolveModel(place, others, onNotice);
    const model = checkpointSource(checkpoint, {
      config: await modelAt(options.config, resolve),
      tokenizer: await modelAt(options.tokenizer, resolve),
      resolve,
    });
    return { model, close: async () => bytes.close?.() };
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

/** Makes `fromSingleFile` for a platform. */
export function fromSingleFileOn(platform: Platform) {
  return async (source: string | ByteSource, options: FromSingleFileOptions = {}): Promise<Pipeline> => {
    checkLoadOptions('fromSingleFile', options, OPTIONS);
    checkSource(source, ['read'], 'Give a path, a URL, owner/name/file.safetensors or a ByteSource');
    const notices: string[] = [];
    const checkpoint = await openCheckpoint(platform, source, options, (notice) => notices.push(notice));
    try {
      return await startPipeline(platform, checkpoint.model, options, notices);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  };
}

async function modelAt(
  place: string | ModelSource | undefined,
  resolve: (place: string) => Promise<ModelSource>,
): Promise<ModelSource | undefined> {
  return typeof place === 'string' ? resolve(place) : place;
}

function notSupported(file: SafetensorsFile, title: string, className: string): CalotypeError {
  return new ConfigError(`holds a ${title} model, which needs ${className}; that is not supported`, {
    file: file.name,
    remedy: 'Use a checkpoint of Stable Diffusion 1.x, 2.x or XL that makes pictures from text',
  });
}
