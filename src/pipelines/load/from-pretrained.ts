/** @file `DiffusionPipeline.fromPretrained`: a model and a backend become a pipeline. */

import type { BackendFactory } from '../../backends/backend.ts';
import type { BackendAttempt } from '../../errors.ts';
import type { ByteSource } from '../../loaders/byte-source.ts';
import { later } from '../../later.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import type { StandaloneControlNet } from '../../loaders/single-file/standalone-controlnet.ts';
import type { DiffusionPipeline as Pipeline } from '../diffusion-pipeline.ts';
import { makePipeline } from '../make-pipeline.ts';
import type { AddedFileSource } from './added-file.ts';
import { checkLoadOptions, checkSource } from './check-load-options.ts';
import type { ComponentBackends } from './component-backends.ts';
import type { DTypeOption, LoadPipelineOptions, VaeUpcast } from './loaded-pipeline.ts';
import { loadPipeline } from './load-pipeline.ts';
import { openBackend } from './open-backend.ts';
import { Placement, type ComponentName } from './placement.ts';
import type { MemoryBudget, MemoryOption } from '../memory/memory-option.ts';
import type { ProgressListener } from '../progress.ts';

/** Options of `fromPretrained`. */
export interface FromPretrainedOptions {
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string;
  /** Part of the weights' file names, for example `fp16`. */
  readonly variant?: string;
  /**
   * Default `auto`: f16 where the device computes in it and the file is 16 bits or less, else f32. `f16` on a device
   * that does not: weights are held in 16 bits, activations and arithmetic stay f32.
   */
  readonly dtype?: DTypeOption;
  /**
   * What of the VAE is computed in f32 where its values may leave the range of f16. Default `whole`: all of it, if the
   * configuration says `force_upcast` and diffusers' pipeline heeds that (Stable Diffusion XL and the x4 upscaler). `overflow`:
   * weights and what norms bound stay in f16, whatever the configuration says; the residual stream and the results of
   * convolutions are held in f32. On WebGPU; it changes nothing where arithmetic is in f32 or bf16 anyway.
   */
  readonly vaeUpcast?: VaeUpcast;
  /**
   * A VAE to use in place of the model's: a .safetensors file (in the original or diffusers' layout; the model's own
   * VAE configuration then holds for it; as a path, URL, `owner/name/file.safetensors`, Blob or ByteSource), or a folder,
   * Hub id, URL or ModelSource with a config.json.
   */
  readonly vae?: AddedFileSource;
  /**
   * ControlNets for the option `controlImage`, in place of those that the model has: for each a folder, Hub id, URL or
   * ModelSource with a config.json, or a .safetensors file (in the original or diffusers' layout; also as a Blob or
   * ByteSource). They are held in the type of the UNet, with which they run as one graph.
   */
  readonly controlnet?: AddedFileSource | readonly AddedFileSource[];
  /** How many bytes the pipeline may take. Default: as many as it needs to have everything on the device. */
  readonly memory?: MemoryOption;
  /** Tried in order; the first that works is taken. Default: WebGPU on hardware, else the CPU. */
  readonly backends?: readonly BackendFactory[];
  /**
   * Backends of components that shall be on others than the rest: `{ vae: cpu(), textEncoder: webgpu() }`. What components
   * give each other goes through the host, and pictures are the same.
   */
  readonly componentBackends?: ComponentBackends;
  /** Stops loading. */
  readonly signal?: AbortSignal;
  /** Told of downloads now, and of weights and kernels when calls need them. */
  readonly onProgress?: ProgressListener;
}

const OPTIONS = [
  'revision',
  'variant',
  'dtype',
  'vaeUpcast',
  'vae',
  'controlnet',
  'memory',
  'backends',
  'componentBackends',
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
  /** The file behind a path, URL or Hub address (`owner/name/file.safetensors`). Throws NotFoundError if there is none. */
  openFile(
    source: string,
    options: FromPretrainedOptions,
    onNotice: (notice: string) => void,
  ): Promise<ByteSource>;
  /** Bytes of the host's memory that are free; 0 where that is not known. */
  freeMemory(): Promise<number>;
  /** Backends to try where the user names none. */
  defaultBackends(): readonly BackendFactory[];
}

/** Opens the backends of a pipeline's components. */
async function placeComponents(
  platform: Platform,
  { backends = platform.defaultBackends(), componentBackends, signal }: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<Placement> {
  const onSkipped = ({ backend, reason, remedy }: BackendAttempt, component?: ComponentName): void =>
    onNotice(`${backend} is not used${component ? ` for ${component}` : ''}: ${reason}. ${remedy}`);
  if (componentBackends !== undefined) {
    const { openPlacement } = await later(
      'components on other backends',
      () => import('./component-backends.ts'),
    );
    return openPlacement(backends, componentBackends, { signal, onSkipped });
  }
  const backend = await openBackend(backends, { signal, onSkipped });
  return new Placement(() => backend);
}

async function readMemory(platform: Platform, option: MemoryOption): Promise<MemoryBudget> {
  const { readMemoryOption } = await later('budgets of memory', () => import('../memory/memory-option.ts'));
  return readMemoryOption(option, await platform.freeMemory());
}

/** Opens backends and loads a model onto them. */
export async function startPipeline(
  platform: Platform,
  model: ModelSource,
  options: FromPretrainedOptions,
  notices: string[],
): Promise<Pipeline> {
  const { signal, variant, dtype, vaeUpcast, onProgress } = options;
  const memory = options.memory === undefined ? undefined : await readMemory(platform, options.memory);
  const onNotice = (notice: string): void => void notices.push(notice);
  const vae =
    options.vae &&
    (await (
      await later('other VAEs', () => import('./vae-option.ts'))
    ).openVae(platform, options.vae, options, onNotice));
  let placement: Placement | undefined;
  let controlnets: readonly StandaloneControlNet[] = [];
  try {
    if (options.controlnet !== undefined) {
      const { openControlNets } = await later('ControlNets', () => import('../control/open-controlnets.ts'));
      controlnets = await openControlNets(platform, options, onNotice);
    }
    placement = await placeComponents(platform, options, onNotice);
    const load: LoadPipelineOptions = {
      notices,
      controlnets,
      memory,
      ...(variant !== undefined && { variant }),
      ...(dtype && { dtype }),
      ...(vaeUpcast && { vaeUpcast }),
      ...(signal && { signal }),
    };
    const whole = vae
      ? (await later('other VAEs', () => import('../../loaders/single-file/standalone-vae.ts'))).withVae(
          model,
          vae,
        )
      : model;
    const loaded = await loadPipeline(whole, placement, load);
    if (options.componentBackends?.textEncoder2 && !loaded.networks.has('text_encoder_2'))
      onNotice('componentBackends.textEncoder2 is not used: the model has no second text encoder');
    return makePipeline(loaded, platform, onProgress);
  } catch (error) {
    placement?.dispose();
    if (vae) await vae.close();
    for (const { weights } of controlnets) await weights.close();
    throw error;
  }
}

/** Makes `fromPretrained` for a platform. */
export function fromPretrainedOn(platform: Platform) {
  return async (source: string | ModelSource, options: FromPretrainedOptions = {}): Promise<Pipeline> => {
    checkLoadOptions('fromPretrained', options, OPTIONS);
    checkSource(source, ['open'], 'Give a folder, a Hub id, a URL or a ModelSource');
    const notices: string[] = [];
    const model =
      typeof source === 'string'
        ? await platform.resolveModel(source, options, (notice) => notices.push(notice))
        : source;
    return startPipeline(platform, model, options, notices);
  };
}
