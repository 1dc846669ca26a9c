/** @file How a pipeline is loaded, and its parts. */

import type { ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import type { PipelineClass } from '../../loaders/configs/model-index.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { LoraComponent } from '../../loaders/lora/layer-parts.ts';
import type { StandaloneControlNet } from '../../loaders/single-file/standalone-controlnet.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import type { Scheduler } from '../../schedulers/scheduler.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import type { Denoiser } from '../denoise/denoiser.ts';
import type { LatentModel } from '../denoise/denoiser-config.ts';
import type { ComponentDType } from './load-network.ts';
import type { Network } from '../network.ts';
import type { Placement } from './placement.ts';
import type { RecommendedSettings } from './recommended-settings.ts';
import type { MemoryBudget } from '../memory/memory-option.ts';
import type { Residency } from '../memory/residency.ts';
import type { Vae } from '../image/vae.ts';

/** Storage types by component; one name means all components. */
export type DTypeOption =
  | ComponentDType
  | { readonly unet?: ComponentDType; readonly vae?: ComponentDType; readonly textEncoder?: ComponentDType };

/**
 * What of an AutoencoderKL is computed in f32 where it would be in f16: `whole`, which is what `force_upcast` asks for, or
 * `overflow`, its sums that may leave the range of f16.
 */
export const VAE_UPCASTS = ['whole', 'overflow'] as const;

/** One of `VAE_UPCASTS`. */
export type VaeUpcast = (typeof VAE_UPCASTS)[number];

/** How to load. */
export interface LoadPipelineOptions {
  readonly variant?: string;
  readonly dtype?: DTypeOption;
  readonly vaeUpcast?: VaeUpcast;
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
  readonly placement: Placement;
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
