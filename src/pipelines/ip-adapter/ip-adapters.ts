/**
 * @file The IP-Adapters of a pipeline: loading, weighting and unloading them under diffusers' names
 * (loaders/ip_adapter.py). They are held beside the UNet, with which they run as one graph.
 */

import type { Backend } from '../../backends/backend.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import type { Size } from '../../image/resize.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import type { AddedFileSource } from '../load/added-file.ts';
import type { UNetAdapterWeights } from './block-weights.ts';
import type { Platform } from '../load/from-pretrained.ts';
import { IMAGE_PROMPTS } from './image-prompts-part.ts';
import type { ComponentDType } from '../load/load-network.ts';
import { refuse } from '../options/checks.ts';
import { IMAGE_PROMPT_OPTIONS, type ImagePromptOptions } from './image-prompt-options.ts';
import type { ImagePrompts, PromptedAdapters, readImagePrompts } from './image-prompts.ts';
import type { Residency } from '../memory/residency.ts';
import type { OpenIpAdapters } from './open-ip-adapters.ts';

/** Options of `loadIpAdapter`; lists have an entry for each adapter. */
export interface LoadIpAdapterOptions {
  /** Name of the adapter's file in the folder or repository, such as `ip-adapter_sd15.safetensors`. */
  readonly weightName?: string | readonly string[];
  /** Folder inside of the folder or repository, such as `models`. */
  readonly subfolder?: string | readonly string[];
  /**
   * Folder of the image encoder: inside of `subfolder`, or if it has a `/` inside of the repository. null loads none, for
   * calls that give `ipAdapterImageEmbeds`. For an adapter given as a file, the path of a folder or a Hub id. Default
   * `image_encoder`, for files none.
   */
  readonly imageEncoderFolder?: string | null;
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string;
  /** Stops loading. */
  readonly signal?: AbortSignal;
}

/**
 * How much an adapter adds: a number, or numbers by block, `{ up: { block_0: [0, 1, 0] } }`, where what is not named adds
 * nothing.
 */
export type IpAdapterScale = UNetAdapterWeights;

/** What pipelines offer; the names are diffusers' in camelCase. */
export interface IpAdapterMethods {
  /**
   * Loads IP-Adapters in place of those that there are; calls then need `ipAdapterImage`. They add with scale 1. Adapters
   * (Stable Diffusion 1.5 and XL): the first ones, plus, plus-face and full-face.
   * @param source a folder, Hub id or ModelSource with the files in it, or a .safetensors file (path, URL,
   * `owner/name/file.safetensors`, Blob, ByteSource); for several adapters, a list or one place for all
   * @throws FileFormatError for pickles, for FaceID and other files, and for adapters of other models; NotFoundError;
   * ConfigError for an image encoder that is not supported
   */
  loadIpAdapter(
    source: AddedFileSource | readonly AddedFileSource[],
    options?: LoadIpAdapterOptions,
  ): Promise<void>;
  /** How much each adapter adds, from the next call on. Throws OptionError for a block that there is not. */
  setIpAdapterScale(scale: IpAdapterScale | readonly IpAdapterScale[]): void;
  /** Removes all IP-Adapters and their image encoder. */
  unloadIpAdapter(): Promise<void>;
}

/** What adapters need of their pipeline. */
export interface IpAdapterHost {
  readonly platform: Platform;
  readonly backend: Backend;
  /** Where the image encoder is planned; absent without a budget of memory. */
  readonly residency: Pick<Residency, 'add' | 'remove'> | undefined;
  readonly unet: UNet2DConditionConfig;
  /** Type of the image encoder. */
  readonly dtype: ComponentDType;
  /** Weights that lie beside the UNet's, by their path in its graph. */
  readonly mounts: Map<string, WeightSource>;
  /** Frees programs and these of the UNet's tensors on the device. */
  forget(tensors: readonly string[]): void;
  onNotice(notice: string): void;
  /** Does some work when all calls made before are done. */
  enqueue(work: () => void): Promise<void>;
}

interface State extends OpenIpAdapters, PromptedAdapters {
  /** Reads the image prompts of a call. */
  readonly read?: typeof readImagePrompts;
}

const NONE: State = { adapters: [], files: [], encoder: undefined, scales: [], blocks: [] };

/** A pipeline's IP-Adapters. */
export class IpAdapters {
  readonly #host: IpAdapterHost;
  #state = NONE;
  /** What is beside the UNet now; the queue brings it up to the state. */
  #mounted = NONE;

  constructor(host: IpAdapterHost) {
    this.#host = host;
  }

  /**
   * The image prompts of a call, for the adapters of this moment; undefined where there is none.
   * @throws OptionError for prompts without adapters, adapters without prompts, and prompts of another form
   */
  promptsOf(options: ImagePromptOptions & Size): ImagePrompts | undefined {
    const given = IMAGE_PROMPT_OPTIONS.find((name) => options[name] !== undefined);
    const state = this.#state;
    if (state.read) return state.read(options, state, options);
    if (given !== undefined) refuse(given, 'no IP-Adapter is loaded', 'Load one with loadIpAdapter');
    return undefined;
  }

  /** The methods, to be put on a pipeline. */
  methods(): IpAdapterMethods {
    return {
      loadIpAdapter: (source, options = {}) => this.#load(source, options),
      setIpAdapterScale: (scale) => {
        const { adapters } = this.#state;
        if (adapters.length === 0) refuse('scale', 'no IP-Adapter is loaded', 'Load one with loadIpAdapter');
        const scales = IMAGE_PROMPTS.loaded.readScales(scale, adapters.length, this.#host.unet);
        this.#state = { ...this.#state, scales };
      },
      unloadIpAdapter: () => this.#become(NONE),
    };
  }

  dispose(): void {
    this.#mount(NONE);
  }

  async #load(
    source: AddedFileSource | readonly AddedFileSource[],
    options: LoadIpAdapterOptions,
  ): Promise<void> {
    const { openIpAdapters, readImagePrompts, transformerBlocks } = await IMAGE_PROMPTS.load();
    const opened = await openIpAdapters(this.#host, source, options);
    const blocks = transformerBlocks(this.#host.unet);
    const ones = blocks.map(() => 1);
    const scales = opened.adapters.map(() => ones);
    await this.#become({ ...opened, blocks, scales, read: readImagePrompts });
  }

  #become(state: State): Promise<void> {
    this.#state = state;
    return this.#host.enqueue(() => this.#mount(state));
  }

  #mount(state: State): void {
    const { mounts, forget, residency } = this.#host;
    const pathOf = (adapter: number): string => IMAGE_PROMPTS.loaded.adapterPath(adapter);
    const before = this.#mounted;
    this.#mounted = state;
    forget(before.files.flatMap(({ tensors }, i) => tensors.map((name) => `${pathOf(i)}.${name}`)));
    before.files.forEach(({ file }, i) => {
      mounts.delete(pathOf(i));
      void file.close();
    });
    if (before.encoder) residency?.remove(before.encoder);
    before.encoder?.dispose();
    if (state.encoder) residency?.add(state.encoder);
    state.files.forEach(({ file }, i) => mounts.set(pathOf(i), file));
  }
}
