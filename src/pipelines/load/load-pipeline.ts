/** @file Loads the components of a pipeline's folder onto a backend. */

import type { Backend } from '../../backends/backend.ts';
import { ConfigError, OptionError } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import { openWeights } from '../../loaders/component.ts';
import { parseAutoencoderKLConfig } from '../../loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../../loaders/configs/autoencoder-tiny.ts';
import { parseCLIPTextConfig } from '../../loaders/configs/clip-text.ts';
import type { ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import { parseModelIndex, type ModelIndex, type PipelineClass } from '../../loaders/configs/model-index.ts';
import {
  parsePixArtTransformerConfig,
  type PixArtTransformerConfig,
} from '../../loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../loaders/configs/t5-encoder.ts';
import { parseUNet2DConditionConfig, type UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { LORA_COMPONENTS, type LoraComponent } from '../../loaders/lora/layer-parts.ts';
import { readJson, type ModelSource } from '../../loaders/model-source.ts';
import { joinWeights } from '../../loaders/joined-weights.ts';
import type { StandaloneControlNet } from '../../loaders/single-file/standalone-controlnet.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import { autoencoderKLAliases } from '../../models/autoencoder-kl.ts';
import { buildCLIPText, clipTextAliases } from '../../models/clip-text.ts';
import { buildControlNet } from '../../models/controlnet.ts';
import { buildPixArtTransformer } from '../../models/pixart-transformer.ts';
import { buildT5Encoder, t5EncoderAliases } from '../../models/t5-encoder.ts';
import { buildUNet2DCondition } from '../../models/unet2d-condition.ts';
import { forStableDiffusion, schedulerFromConfig } from '../../schedulers/index.ts';
import type { Scheduler } from '../../schedulers/scheduler.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import { AddedVectors } from '../prompt/added-vectors.ts';
import { checkFitsUNet, checkFitsVae } from '../control/controlnet-option.ts';
import { controlPath } from '../control/control-graph.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import { Denoiser } from '../denoise/denoiser.ts';
import {
  latentGranularity,
  latentModelOf,
  isPixArt,
  type DenoiserConfig,
  type LatentModel,
} from '../denoise/denoiser-config.ts';
import { isInpaintingUNet, isUpscalingUNet } from '../options/image-options.ts';
import { loadNetwork, type Aliases, type ComponentDType } from './load-network.ts';
import type { Network } from '../network.ts';
import { parseRecommendedSettings, type RecommendedSettings } from './recommended-settings.ts';
import { StableDiffusionConditioner } from '../families/stable-diffusion.ts';
import { StableDiffusionXLConditioner } from '../families/stable-diffusion-xl.ts';
import type { MemoryBudget } from '../memory/memory-option.ts';
import { Residency, type Component } from '../memory/residency.ts';
import { T5TextEncoder } from '../prompt/t5-text-encoder.ts';
import { PixArtAlphaConditioner } from '../families/pixart-alpha.ts';
import { PromptEncoder } from '../prompt/text-encoder.ts';
import { Vae, vaeGraphs, type VaeConfig } from '../image/vae.ts';

/** Storage types by component; one name means all components. */
export type DTypeOption =
  | ComponentDType
  | { readonly unet?: ComponentDType; readonly vae?: ComponentDType; readonly textEncoder?: ComponentDType };

/** How to load. */
export interface LoadPipelineOptions {
  readonly variant?: string;
  readonly dtype?: DTypeOption;
  /** To be put beside the UNet, in place of those that the model has; closed with the pipeline. */
  readonly controlnets?: readonly StandaloneControlNet[];
  readonly memory?: MemoryBudget | undefined;
  readonly signal?: AbortSignal;
  /** Where remarks go; the pipeline shows them as its `notices`. */
  readonly notices: string[];
}

/** The parts of a pipeline. */
export interface LoadedPipeline {
  readonly className: PipelineClass;
  readonly backend: Backend;
  /** What the network that denoises is. */
  readonly unet: LatentModel;
  /** Absent where it is a transformer. */
  readonly unetConfig: UNet2DConditionConfig | undefined;
  /** Sides of latents must be a multiple of it. */
  readonly granularity: number;
  readonly denoiser: Denoiser;
  /** Weights of networks that run as one graph with the UNet, by their path in it; IP-Adapters are put there. */
  readonly besideUNet: Map<string, WeightSource>;
  /** Type of image encoders, which are loaded with IP-Adapters. */
  readonly imageEncoderDType: ComponentDType;
  /** The ControlNets that were loaded with the UNet. */
  readonly controlnets: readonly ControlNetConfig[];
  readonly conditioner: Conditioner;
  readonly vae: Vae;
  readonly scheduler: Scheduler;
  /** For the x4 upscaler: what puts noise on the picture, and the most of it. */
  readonly lowRes: { readonly scheduler: Scheduler; readonly maxNoiseLevel: number } | undefined;
  readonly recommended: RecommendedSettings;
  /** Absent without a budget of memory. */
  readonly residency: Residency | undefined;
  /** The networks that adapters can change, by the names of their folders. */
  readonly networks: ReadonlyMap<LoraComponent, Network>;
  /** Grows where more is to be said later. */
  readonly notices: string[];
  dispose(): void;
}

/** Pipelines that decode in f32 where the VAE's `force_upcast` says so; diffusers' others do not look at it. */
const UPCASTING: readonly PipelineClass[] = ['StableDiffusionXLPipeline', 'StableDiffusionUpscalePipeline'];

/** diffusers sets it whatever the upscaler's VAE says; early files of it lack the field. */
const UPSCALER_SCALING_FACTOR = 0.08333;

/** Reads one pipeline's files; keeps what must be closed or freed if loading fails half-way. */
class PipelineLoader {
  readonly notices: string[];
  readonly networks = new Map<LoraComponent, Network>();
  /** See `LoadedPipeline`. */
  readonly besideUNet = new Map<string, WeightSource>();
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

  async #weights(subfolder: string): Promise<WeightSource> {
    const { variant, signal } = this.#options;
    const weights = await openWeights(this.#source, subfolder, {
      ...(variant && { variant }),
      ...(signal && { signal }),
    });
    this.#cleanup.push(() => void weights.close());
    return weights;
  }

  /** The weights of a subfolder, as a network that can run these graphs. */
  async #network(
    subfolder: string,
    graphs: readonly Graph[],
    dtype: ComponentDType,
    extra: { readonly aliases?: Aliases; readonly upcast?: boolean; readonly added?: AddedVectors } = {},
  ): Promise<Network> {
    const weights = await this.#weights(subfolder);
    const { added, ...how } = extra;
    const stored = added ? added.over(weights) : weights;
    const network = loadNetwork(subfolder, this.#backend, stored, graphs, { dtype, ...how });
    const component = LORA_COMPONENTS.find((name) => name === subfolder);
    if (component) this.networks.set(component, network);
    return network;
  }

  /** The type that was asked for. */
  dtypeOf(component: 'unet' | 'vae' | 'textEncoder'): ComponentDType {
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
    const dtype = this.dtypeOf('textEncoder');
    const network = await this.#network(folder, graphs, dtype, { aliases: clipTextAliases, added });
    return this.keep(new PromptEncoder({ network, config, tokenizer, projection, added }));
  }

  async t5TextEncoder(): Promise<T5TextEncoder> {
    const folder = 'text_encoder';
    const config = await this.#json(`${folder}/config.json`, parseT5EncoderConfig);
    const tokenizer = await Tokenizer.fromPretrained(this.#source, 'tokenizer', this.#options.signal);
    const network = loadNetwork(
      folder,
      this.#backend,
      await this.#weights(folder),
      [buildT5Encoder(config)],
      {
        dtype: this.dtypeOf('textEncoder'),
        arithmetic: 'f32',
        aliases: t5EncoderAliases,
      },
    );
    return this.keep(new T5TextEncoder(network, config, tokenizer));
  }

  /** The text side of a pipeline. */
  async conditioner(index: ModelIndex, unet: DenoiserConfig, vae: Vae): Promise<Conditioner> {
    if (isPixArt(unet)) return this.#pixArtConditioner(unet, vae);
    if (index.className !== 'StableDiffusionXLPipeline')
      return new StableDiffusionConditioner(await this.textEncoder('', false));
    const first = index.components.has('text_encoder') ? [await this.textEncoder('', false)] : [];
    const second = await this.textEncoder('_2', true);
    const conditioner = new StableDiffusionXLConditioner([...first, second], index);
    checkMicroConditions(unet, conditioner.microConditions, second.config.projectionDim, this.#source.name);
    return conditioner;
  }

  async #pixArtConditioner(config: PixArtTransformerConfig, vae: Vae): Promise<Conditioner> {
    const encoder = await this.t5TextEncoder();
    const { dModel } = encoder.config;
    if (dModel !== config.crossAttentionDim)
      throw new ConfigError(
        `hidden states of ${dModel} channels are not the transformer's ${config.crossAttentionDim}`,
        {
          file: `${this.#source.name}/text_encoder/config.json`,
          field: 'd_model',
          remedy: 'Use the parts of one model',
        },
      );
    return new PixArtAlphaConditioner(encoder, config, vae.scaleFactor);
  }

  /** ControlNets that were named, or those that lie in the model's own folders. */
  async controlnets(index: ModelIndex): Promise<readonly StandaloneControlNet[]> {
    const { controlnets = [], signal, variant } = this.#options;
    const nets: StandaloneControlNet[] = [];
    const add = (net: StandaloneControlNet): void => {
      this.#cleanup.push(() => void net.weights.close());
      nets.push(net);
    };
    controlnets.forEach(add);
    if (nets.length > 0 || index.controlnet === undefined) return nets;
    const options = {
      onNotice: (notice: string): void => void this.notices.push(notice),
      ...(signal && { signal }),
      ...(variant !== undefined && { variant }),
    };
    const { controlNetFromModel } = await import('../../loaders/single-file/standalone-controlnet.ts');
    add(await controlNetFromModel(this.#source, 'controlnet', options));
    const nextFolder = (): string => `controlnet_${nets.length}`;
    while (
      index.controlnet === 'MultiControlNetModel' &&
      (await this.#source.exists(`${nextFolder()}/config.json`, signal))
    )
      add(await controlNetFromModel(this.#source, nextFolder(), options));
    return nets;
  }

  /** The UNet and its ControlNets, one network: they run as one graph. Its type follows the UNet's files. */
  async unet(
    className: PipelineClass,
    nets: readonly StandaloneControlNet[],
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
    for (const net of nets) checkFitsUNet(net, config);
    nets.forEach(({ weights }, i) => this.besideUNet.set(controlPath(i), weights));
    const paths = [...this.besideUNet.keys()];
    const network = loadNetwork(
      'unet',
      this.#backend,
      joinWeights(await this.#weights('unet'), this.besideUNet),
      [buildUNet2DCondition(config), ...nets.map((net, i) => buildControlNet(net.config, controlPath(i)))],
      {
        dtype: this.dtypeOf('unet'),
        counts: (tensor) => !paths.some((path) => tensor.startsWith(`${path}.`)),
      },
    );
    this.networks.set('unet', network);
    return { config, denoiser: this.keep(new Denoiser(network, config)) };
  }

  /** PixArt's transformer. */
  async transformer(): Promise<{ readonly config: PixArtTransformerConfig; readonly denoiser: Denoiser }> {
    const folder = 'transformer';
    const config = await this.#json(`${folder}/config.json`, parsePixArtTransformerConfig);
    const network = await this.#network(folder, [buildPixArtTransformer(config)], this.dtypeOf('unet'));
    return { config, denoiser: this.keep(new Denoiser(network, config)) };
  }

  async vae(
    pipeline: PipelineClass,
    className: VaeConfig['className'],
    scalingFactor?: number,
  ): Promise<Vae> {
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
      this.dtypeOf('vae'),
      kind.className === 'AutoencoderKL'
        ? {
            aliases: autoencoderKLAliases,
            upcast: kind.config.forceUpcast && UPCASTING.includes(pipeline),
          }
        : {},
    );
    return this.keep(new Vae(network, kind));
  }
}

/** Throws OptionError where ControlNets are to be put beside a transformer. */
function refuseControlNets(nets: readonly StandaloneControlNet[], model: string): void {
  if (nets.length > 0)
    throw new OptionError(`ControlNets are for UNets, and ${model} has a transformer`, {
      field: 'controlnet',
      remedy: 'Leave it out, or use a Stable Diffusion model',
    });
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
    const nets = await loader.controlnets(index);
    if (className === 'PixArtAlphaPipeline') refuseControlNets(nets, source.name);
    const { config, denoiser } =
      className === 'PixArtAlphaPipeline' ? await loader.transformer() : await loader.unet(className, nets);
    const unet = latentModelOf(config);
    const lowRes = index.components.has('low_res_scheduler')
      ? {
          scheduler: await loader.scheduler(className, 'low_res_scheduler'),
          maxNoiseLevel: Math.min(index.maxNoiseLevel, (unet.numClassEmbeds ?? 1) - 1),
        }
      : undefined;
    const recommended = await loader.recommended();
    const vae = await loader.vae(
      className,
      index.components.get('vae') === 'AutoencoderTiny' ? 'AutoencoderTiny' : 'AutoencoderKL',
      className === 'StableDiffusionUpscalePipeline' ? UPSCALER_SCALING_FACTOR : undefined,
    );
    const { latentChannels } = vae.kind.config;
    if (latentChannels !== unet.outChannels)
      throw new ConfigError(
        `latents of ${latentChannels} channels are not the denoiser's ${unet.outChannels}`,
        {
          file: `${source.name}/vae/config.json`,
          field: 'latent_channels',
          remedy: 'Use a VAE that was made for models of this kind',
        },
      );
    const conditioner = await loader.conditioner(index, config, vae);
    for (const net of nets) checkFitsVae(net, vae.scaleFactor);
    const { notices, networks, besideUNet, dispose } = loader;
    const components: readonly Component[] = [...conditioner.components, denoiser, vae];
    const residency =
      options.memory &&
      new Residency(
        options.memory,
        backend,
        new Map(components.map((component) => [component.network.name, component])),
        (notice) => void notices.push(notice),
      );
    const controlnets = nets.map(({ config }) => config);
    return {
      className,
      backend,
      unet,
      unetConfig: isPixArt(config) ? undefined : config,
      granularity: latentGranularity(config),
      denoiser,
      besideUNet,
      imageEncoderDType: loader.dtypeOf('textEncoder'),
      controlnets,
      conditioner,
      vae,
      scheduler,
      lowRes,
      recommended,
      residency,
      networks,
      notices,
      dispose,
    };
  } catch (error) {
    loader.dispose();
    throw error;
  }
}
