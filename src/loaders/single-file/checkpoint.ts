/** @file A single-file checkpoint: its kind, and where the tensors of each of its components lie. */
import { NotFoundError } from '../../errors.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import type { WeightSource } from '../weight-source.ts';
import { clipTensors, openClipTensors } from './clip-names.ts';
import { detectKind, type ModelKind } from './kinds.ts';
import { mappedWeights, type TensorMap } from './mapped-weights.ts';
import { unetLayout, type UNetLayout } from './unet-names.ts';
import { vaeTensors } from './vae-names.ts';

/** Components of a checkpoint; also the names of their folders in diffusers' layout. */
export type CheckpointComponent = 'unet' | 'vae' | 'text_encoder' | 'text_encoder_2';

/** Where components lie: the beginning of their names, and how the rest is named. */
const PLACES: readonly (readonly [
  prefix: string,
  component: CheckpointComponent,
  naming: 'unet' | 'vae' | 'clip' | 'openclip',
])[] = [
  ['model.diffusion_model.', 'unet', 'unet'],
  ['first_stage_model.', 'vae', 'vae'],
  ['vae.', 'vae', 'vae'],
  ['cond_stage_model.transformer.', 'text_encoder', 'clip'],
  ['cond_stage_model.model.', 'text_encoder', 'openclip'],
  ['conditioner.embedders.0.transformer.', 'text_encoder', 'clip'],
  // The refiner has the second of SDXL's encoders alone.
  ['conditioner.embedders.0.model.', 'text_encoder_2', 'openclip'],
  ['conditioner.embedders.1.model.', 'text_encoder_2', 'openclip'],
];

/** Tensors that checkpoints hold besides the weights that are used: training state, tables, unused heads. */
const IDLE: readonly RegExp[] = [
  /^model_ema\./,
  /^(betas|(sqrt_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|log_one_minus_alphas_cumprod|lvlb_weights)$/,
  /^(posterior_\w+|logvar|scale_factor|global_step|edm_(mean|std)|v_pred|ztsnr|denoiser\.sigmas)$/,
  /^(first_stage_model\.)?(loss|model_ema)\./,
  /\.position_ids$/,
  /^(cond_stage_model\.model|conditioner\.embedders\.\d\.model)\.(logit_scale|attn_mask|text_projection)$/,
  /^(cond_stage_model|conditioner\.embedders\.0)\.(transformer\.text_projection\.weight|logit_scale)$/,
  /^embedding_manager\./,
];

/** A checkpoint's contents, by names alone. */
export interface Checkpoint {
  readonly file: SafetensorsFile;
  readonly kind: ModelKind;
  readonly unet: UNetLayout;
  readonly components: ReadonlyMap<CheckpointComponent, TensorMap>;
  /** Tensors that belong to no component and are not among those known to be of no use. */
  readonly strangers: readonly string[];
}

/**
 * Sorts the tensors of a file in the original (ldm, sgm) layout.
 * Throws FileFormatError, as `detectKind` says, for files of another kind.
 */
export async function readCheckpoint(file: SafetensorsFile, signal?: AbortSignal): Promise<Checkpoint> {
  const kind = await detectKind(file, signal);
  const keysByPrefix = new Map<string, Set<string>>(PLACES.map(([prefix]) => [prefix, new Set()]));
  for (const name of file.names()) {
    const place = PLACES.find(([prefix]) => name.startsWith(prefix));
    if (place) keysByPrefix.get(place[0])?.add(name.slice(place[0].length));
  }
  const unet = unetLayout(keysByPrefix.get(PLACES[0][0]) ?? []);
  const components = new Map<CheckpointComponent, TensorMap>();
  for (const [prefix, component, naming] of PLACES) {
    const keys = keysByPrefix.get(prefix);
    if (keys === undefined || keys.size === 0) continue;
    const tensors = {
      unet: () => new Map([...unet.names].map(([name, stored]) => [name, { name: prefix + stored }])),
      vae: () => vaeTensors(keys, prefix),
      clip: () => clipTensors(keys, prefix),
      openclip: () => openClipTensors(keys, prefix),
    }[naming]();
    if (tensors.size > 0) components.set(component, tensors);
  }
  const placed = new Set(
    [...components.values()].flatMap((map) => [...map.values()].map(({ name }) => name)),
  );
  const strangers = [...file.names()].filter(
    (name) => !placed.has(name) && !IDLE.some((pattern) => pattern.test(name)),
  );
  return { file, kind, unet, components, strangers };
}

/** Gives the weights of a checkpoint's components; the file is closed with the last of them. */
export class CheckpointWeights {
  readonly #checkpoint: Checkpoint;
  #open = 0;

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
  }

  /** A component's weights, to be closed. Throws NotFoundError if the file has none of it. */
  open(component: string): WeightSource {
    this.#open++;
    let closed = false;
    return mappedWeights(this.#checkpoint.file, this.#tensors(component), async () => {
      if (closed) return;
      closed = true;
      this.#open--;
      if (this.#open === 0) await this.#checkpoint.file.close();
    });
  }

  /** The same, for looking at shapes only: it keeps nothing open. */
  look(component: string): WeightSource {
    return mappedWeights(this.#checkpoint.file, this.#tensors(component), () => Promise.resolve());
  }

  #tensors(component: string): TensorMap {
    const { file, components } = this.#checkpoint;
    for (const [name, tensors] of components) if (name === component) return tensors;
    throw new NotFoundError(`the file has no ${component}; it has ${[...components.keys()].join(', ')}`, {
      file: file.name,
      remedy:
        component === 'vae'
          ? 'Name a VAE with the option `vae`'
          : 'Use a checkpoint that holds the whole model: UNet, VAE and text encoders',
    });
  }
}
