/** @file Loads the components of a StableDiffusionPipeline or StableDiffusionXLPipeline folder onto a backend. */

import type { Backend } from '../backends/backend.ts';
import { ConfigError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { openWeights } from '../loaders/component.ts';
import { parseAutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { parseCLIPTextConfig } from '../loaders/configs/clip-text.ts';
import { parseModelIndex, type ModelIndex, type PipelineClass } from '../loaders/configs/model-index.ts';
import { parseUNet2DConditionConfig, type UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import { readJson, type ModelSource } from '../loaders/model-source.ts';
import type { WeightSource } from '../loaders/weight-source.ts';
import { autoencoderKLAliases } from '../models/autoencoder-kl.ts';
import { buildCLIPText, clipTextAliases } from '../models/clip-text.ts';
import { buildUNet2DCondition } from '../models/unet2d-condition.ts';
import { forStableDiffusion, schedulerFromConfig } from '../schedulers/index.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import { AddedVectors } from './added-vectors.ts';
import type { Conditioner } from './conditioning.ts';
import { Denoiser } from './denoiser.ts';
import { isInpaintingUNet, isUpscalingUNet } from './image-options.ts';
import { loadNetwork, type Aliases, type ComponentDType } from './load-network.ts';
import type { Network } from './network.ts';
import { parseRecommendedSettings, type RecommendedSettings } from './recommended-settings.ts';
import { StableDiffusionConditioner } from './stable-diffusion.ts';
import { StableDiffusionXLConditioner } from './stable-diffusion-xl.ts';
import { PromptEncoder } from './text-encoder.ts';
import { Vae, vaeGraphs, type VaeConfig } from './vae.ts';

/** Storage types by component; one name means all components. */
export type DTypeOption =
  | ComponentDType
  | { readonly unet?: ComponentDType; readonly vae?: ComponentDType; readonly textEncoder?: ComponentDType };

/** How to load. */
export interface LoadPipelineOptions {
  readonly variant?: string;
  readonly dtype?: DTypeOption;
  readonly signal?: AbortSignal;
  /** Where remarks go; the pipeline shows them as its `notices`. */
  readonly notices: string[];
}

/** The parts of a pipeline. */
export interface LoadedPipeline {
  readonly className: PipelineClass;
  readonly backend: Backend;
  readonly unet: UNet2DConditionConfig;
  readonly denoiser: Denoiser;
  readonly conditioner: Conditioner;
  readonly vae: Vae;
  readonly scheduler: Scheduler;
  /** For the x4 upscaler: what puts noise on the picture, and the most of it. */
  readonly lowRes: { readonly scheduler: Scheduler; readonly maxNoiseLevel: number } | undefined;
  readonly recommended: RecommendedSettings;
  /** Grows where more is to be said later. */
  readonly notices: string[];
  dispose(): void;
}

/** diffusers sets it whatever the upscaler's VAE says; early files of it lack the field. */
const UPSCALER_SCALING_FACTOR = 0.08333;

/** Reads one pipeline's files; keeps what must be closed or freed if loading fails half-way. */
class PipelineLoader {
  readonly notices: string[];
  readonly #source: ModelSource;
  readonly #backend: Backend;
  readonly #options: LoadPipelineOptions;
  readonly #cleanup: (() => void)[] = [];

  constructor(source: ModelSource, backend: Backend, options: LoadPipelineOptions) {
    this.#source = source;
    this.#backend = backend;
    this.#options = options;
    this.notices = options.notices;
  }

  /** Undoes everything so far. */
  dispose = (): void => {
    for (const undo of this.#cleanup.splice(0).toReversed()) undo();
  };

  /** Disposes of something together with the pipeline. */
  keep<T extends { dispose(): void }>(item: T): T {
    this.#cleanup.push(() => item.dispose());
    return item;
  }

  async #json<T>(
    path: string,
    parse: (json: unknown, context: { file: string; onNotice: (notice: string) => void }) => T,
  ): Promise<T> {
    const json = await readJson(this.#source, path, this.#options.signal);
    return parse(json, {
      file: `${this.#source.name}/${path}`,
      onNotice: (notice) => this.notices.push(notice),
    });
  }

  async index(): Promise<ModelIndex> {
    return this.#json('model_index.json', parseModelIndex);
  }

  async recommended(): Promise<RecommendedSettings> {
    const path = 'calotype.json';
    return (await this.#source.exists(path, this.#options.signal))
      ? this.#json(path, parseRecommendedSettings)
      : {};
  }

  /** The model's own scheduler, with the settings that diffusers' pipeline class forces on it. */
  async scheduler(className: PipelineClass, folder = 'scheduler'): Promise<Scheduler> {
    return this.#json(`${folder}/scheduler_config.json`, (json, { file }) =>
      schedulerFromConfig(
        className === 'StableDiffusionPipeline' ? forStableDiffusion(json, file) : json,
        file,
      ),
    );
  }

  /** The weights of a subfolder, as a network that can run these graphs. */
  async #network(
    subfolder: string,
    graphs: readonly Graph[],
    dtype: ComponentDType,
    extra: { readonly aliases?: Aliases; readonly upcast?: boolean; readonly added?: AddedVectors } = {},
  ): Promise<Network> {
    const { variant, signal } = this.#options;
    const weights: WeightSource = await openWeights(this.#source, subfolder, {
      ...(variant && { variant }),
      ...(signal && { signal }),
    });
    this.#cleanup.push(() => void weights.close());
    const { added, ...how } = extra;
    const stored = added ? added.over(weights) : weights;
    return loadNetwork(subfolder, this.#backend, stored, graphs, { dtype, ...how });
  }

  #dtype(component: 'unet' | 'vae' | 'textEncoder'): ComponentDType {
    const { dtype = 'auto' } = this.#options;
    return typeof dtype === 'string' ? dtype : (dtype[component] ?? 'auto');
  }

  async textEncoder(suffix: '' | '_2', projection: boolean): Promise<PromptEncoder> {
    const folder = `text_encoder${suffix}`;
    const config = await this.#json(`${folder}/config.json`, parseCLIPTextConfig);
    const tokenizer = await Tokenizer.fromPretrained(
      this.#source,
      `tokenizer${suffix}`,
      this.#options.signal,
    );
    const added = new AddedVectors();
    const graphs = [buildCLIPText(config, { projection })];
    const dtype = this.#dtype('textEncoder');
    const network = await this.#network(folder, graphs, dtype, { aliases: clipTextAliases, added });
    return this.keep(new PromptEncoder({ network, config, tokenizer, projection, added }));
  }

  /** The text side of a pipeline. */
  async conditioner(index: ModelIndex, unet: UNet2DConditionConfig): Promise<Conditioner> {
    if (index.className !== 'StableDiffusionXLPipeline')
      return new StableDiffusionConditioner(await this.textEncoder('', false));
    const first = index.components.has('text_encoder') ? [await this.textEncoder('', false)] : [];
    const second = await this.textEncoder('_2', true);
    const conditioner = new StableDiffusionXLConditioner([...first, second], index);
    checkMicroConditions(unet, conditioner.microConditions, second.config.projectionDim, this.#source.name);
    return conditioner;
  }

  async unet(
    className: PipelineClass,
  ): Promise<{ readonly config: UNet2DConditionConfig; readonly denoiser: Denoiser }> {
    const path = 'unet/config.json';
    const config = await this.#json(path, parseUNet2DConditionConfig);
    const { inChannels, outChannels, numClassEmbeds } = config;
    const fits =
      className === 'StableDiffusionUpscalePipeline'
        ? isUpscalingUNet(config)
        : numClassEmbeds === null && (inChannels === outChannels || isInpaintingUNet(config));
    if (!fits)
      throw new ConfigError(`a UNet of ${inChannels} channels is none that ${className} works with`, {
        file: `${this.#source.name}/${path}`,
        field: 'in_channels',
        remedy: 'Use a model for text-to-image, inpainting or upscaling; InstructPix2Pix is not supported',
      });
    const network = await this.#network('unet', [buildUNet2DCondition(config)], this.#dtype('unet'));
    return { config, denoiser: this.keep(new Denoiser(network, config)) };
  }

  async vae(className: VaeConfig['className'], scalingFactor?: number): Promise<Vae> {
    const kind: VaeConfig =
      className === 'AutoencoderTiny'
        ? { className, config: await this.#json('vae/config.json', parseAutoencoderTinyConfig) }
        : {
            className,
            config: {
              ...(await this.#json('vae/config.json', parseAutoencoderKLConfig)),
              ...(scalingFactor !== undefined && { scalingFactor }),
            },
          };
    const network = await this.#network(
      'vae',
      Object.values(vaeGraphs(kind)),
      this.#dtype('vae'),
      kind.className === 'AutoencoderKL'
        ? { aliases: autoencoderKLAliases, upcast: kind.config.forceUpcast }
        : {},
    );
    return this.keep(new Vae(network, kind));
  }
}

/** Throws ConfigError unless a UNet takes the pooled text and as many numbers as its pipeline has for it. */
function checkMicroConditions(
  { additionEmbed }: UNet2DConditionConfig,
  microConditions: number,
  pooledChannels: number,
  model: string,
): void {
  const given = pooledChannels + microConditions * (additionEmbed?.timeEmbedDim ?? 0);
  if (additionEmbed?.inputDim === given) return;
  throw new ConfigError(
    `does not fit: pooled text of ${pooledChannels} and ${microConditions} numbers are to go into it`,
    {
      file: `${model}/unet/config.json`,
      field: 'projection_class_embeddings_input_dim',
      remedy:
        'Use the parts of one model; refiners need requires_aesthetics_score in model_index.json, other models must not have it',
    },
  );
}

/**
 * Loads a pipeline. Only headers and configurations are read; weights follow when the first call needs them.
 * @throws NotFoundError, FileFormatError or ConfigError naming the file and field
 */
export async function loadPipeline(
  source: ModelSource,
  backend: Backend,
  options: LoadPipelineOptions,
): Promise<LoadedPipeline> {
  const loader = new PipelineLoader(source, backend, options);
  try {
    const index = await loader.index();
    const { className } = index;
    const scheduler = await loader.scheduler(className);
    const { config: unet, denoiser } = await loader.unet(className);
    const lowRes = index.components.has('low_res_scheduler')
      ? {
          scheduler: await loader.scheduler(className, 'low_res_scheduler'),
          maxNoiseLevel: Math.min(index.maxNoiseLevel, (unet.numClassEmbeds ?? 1) - 1),
        }
      : undefined;
    const recommended = await loader.recommended();
    const vae = await loader.vae(
      index.components.get('vae') === 'AutoencoderTiny' ? 'AutoencoderTiny' : 'AutoencoderKL',
      className === 'StableDiffusionUpscalePipeline' ? UPSCALER_SCALING_FACTOR : undefined,
    );
    const { latentChannels } = vae.kind.config;
    if (latentChannels !== unet.outChannels)
      throw new ConfigError(`latents of ${latentChannels} channels are not the UNet's ${unet.outChannels}`, {
        file: `${source.name}/vae/config.json`,
        field: 'latent_channels',
        remedy: 'Use a VAE that was made for models of this kind',
      });
    const conditioner = await loader.conditioner(index, unet);
    const { notices, dispose } = loader;
    return {
      className,
      backend,
      unet,
      denoiser,
      conditioner,
      vae,
      scheduler,
      lowRes,
      recommended,
      notices,
      dispose,
    };
  } catch (error) {
    loader.dispose();
    throw error;
  }
}
