/** @file `DiffusionPipeline.fromPretrained`: a model and a backend become a pipeline. */

import type { Backend, BackendFactory } from '../backends/backend.ts';
import { BackendUnavailableError, OptionError, type BackendAttempt } from '../errors.ts';
import type { ModelSource } from '../loaders/model-source.ts';
import { nearestNames } from '../loaders/weight-source.ts';
import { makePipeline, type DiffusionPipeline as Pipeline } from './diffusion-pipeline.ts';
import { loadPipeline, type DTypeOption, type LoadPipelineOptions } from './load-pipeline.ts';
import type { ProgressListener } from './progress.ts';

/** Options of `fromPretrained`. */
export interface FromPretrainedOptions {
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string;
  /** Part of the weights' file names, for example `fp16`. */
  readonly variant?: string;
  /** Default `auto`: f16 where the device offers it and the file is 16 bits or less, else f32. */
  readonly dtype?: DTypeOption;
  /** Tried in order; the first that works is taken. Default: WebGPU on hardware. */
  readonly backends?: readonly BackendFactory[];
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
}

const OPTIONS = [
  'revision',
  'variant',
  'dtype',
  'backends',
  'signal',
  'onProgress',
] as const satisfies readonly (keyof FromPretrainedOptions)[];

/** What differs between runtimes; `platform/` gives it. */
export interface Platform {
  /** The model behind a folder path, Hub id or URL. `onNotice` may be told something as long as it is read. */
  resolveModel(
    source: string,
    options: FromPretrainedOptions,
    onNotice: (notice: string) => void,
  ): Promise<ModelSource>;
  /** Backends to try where the user names none. */
  defaultBackends(): readonly BackendFactory[];
}

function isAttempt(opened: Backend | BackendAttempt): opened is BackendAttempt {
  return 'reason' in opened;
}

/**
 * Opens the first backend that works.
 * @throws BackendUnavailableError with every attempt's reason and remedy
 */
export async function openBackend(
  factories: readonly BackendFactory[],
  signal?: AbortSignal,
): Promise<Backend> {
  const attempts: BackendAttempt[] = [];
  for (const factory of factories) {
    signal?.throwIfAborted();
    const opened = await factory.open(signal ? { signal } : {});
    if (!isAttempt(opened)) return opened;
    attempts.push(opened);
  }
  const reasons = attempts.map(({ backend, reason, remedy }) => `${backend}: ${reason} (${remedy})`);
  throw new BackendUnavailableError(`no backend can be used: ${reasons.join('; ') || 'none was given'}`, {
    attempts,
    remedy: 'Follow one of the remedies, or name another backend with the option `backends`',
  });
}

/** Makes `fromPretrained` for a platform. */
export function fromPretrainedOn(platform: Platform) {
  return async (source: string | ModelSource, options: FromPretrainedOptions = {}): Promise<Pipeline> => {
    for (const name of Object.keys(options))
      if (!OPTIONS.some((known) => known === name))
        throw new OptionError('fromPretrained has no such option', {
          field: name,
          remedy: `Did you mean ${nearestNames(name, OPTIONS, 1)[0]}? Its options are ${OPTIONS.join(', ')}`,
        });
    const { signal, variant, dtype, onProgress } = options;
    const notices: string[] = [];
    const onNotice = (notice: string): void => void notices.push(notice);
    const model =
      typeof source === 'string' ? await platform.resolveModel(source, options, onNotice) : source;
    const backend = await openBackend(options.backends ?? platform.defaultBackends(), signal);
    try {
      const load: LoadPipelineOptions = {
        notices,
        ...(variant !== undefined && { variant }),
        ...(dtype && { dtype }),
        ...(signal && { signal }),
      };
      return makePipeline(await loadPipeline(model, backend, load), onProgress);
    } catch (error) {
      backend.dispose();
      throw error;
    }
  };
}
