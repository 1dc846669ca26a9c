/**
 * @file The LoRA adapters of a pipeline: loading, switching and unloading them under diffusers' names.
 *
 * What is active is decided at once, and errors are thrown at once; weights on the device follow in the queue of calls.
 * A call has the adapters of the moment it was made.
 */

import { OptionError } from '../../errors.ts';
import { LORA_COMPONENTS, type LoraComponent, type Modules } from '../../loaders/lora/layer-parts.ts';
import type { PromptLora } from '../../text/webui/networks.ts';
import type { Platform } from '../load/from-pretrained.ts';
import type { Network } from '../network.ts';
import { checkOptionNames } from '../../option-names.ts';
import type { ProgressListener } from '../progress.ts';
import { activeAdapters, checkAdapterNames, NO_ADAPTERS, type AdapterState } from './adapter-state.ts';
import type { AdapterWeight } from './adapter-weights.ts';
import type { AddedFileSource, FindFileOptions } from '../load/added-file.ts';
import { LORA } from './lora-part.ts';

/** Options of `loadLoraWeights`. */
export interface LoadLoraOptions extends FindFileOptions {
  /** Default `default_0`, `default_1`, ... */
  readonly adapterName?: string;
  /**
   * Whether every layer of a file of kohya's trainer is scaled by its own alpha. By default it is done as diffusers
   * does: layers of attention and of text encoders take the commonest alpha of their component. Default false.
   */
  readonly ownAlphas?: boolean;
  /** Told of the tensors that were read. */
  readonly onProgress?: ProgressListener;
}

const OPTIONS = [
  'adapterName',
  'weightName',
  'subfolder',
  'revision',
  'ownAlphas',
  'signal',
  'onProgress',
] as const satisfies readonly (keyof LoadLoraOptions)[];

/** An adapter that was active in a call. */
export interface UsedAdapter {
  /** Its `adapterName`. */
  readonly name: string;
  /** The file that it came from. */
  readonly source: string;
  /** As it was given to `setAdapters` or in the prompt; 1 if it was not. */
  readonly weight: AdapterWeight;
}

/** What pipelines offer; the names are diffusers' in camelCase. */
export interface LoraMethods {
  /**
   * Loads a LoRA and makes it the active one of the components that it changes: PEFT's, diffusers' and kohya's keys, those
   * of the first trainer (cloneofsimo's); LoRA, LoCon, LoHa, LoKr, DoRA.
   * @param source a .safetensors file (path, URL, `owner/name/file.safetensors`, Blob, ByteSource), or a folder, Hub id
   * or ModelSource with one in it
   * @throws FileFormatError for pickles, for a file that matches nothing in this model, and for tensors that do not fit it;
   * NotFoundError; OptionError for a name that is taken
   */
  loadLoraWeights(source: AddedFileSource, options?: LoadLoraOptions): Promise<void>;
  /**
   * Makes these adapters the active ones, in all components.
   * @param weights one for each, or one for all; default 1
   * @returns when the device has them; calls made in the meantime have them anyway
   * @throws OptionError at once for a name or a weight that there is not
   */
  setAdapters(
    names: string | readonly string[],
    weights?: AdapterWeight | readonly (AdapterWeight | null | undefined)[],
  ): Promise<void>;
  /** Removes adapters. Throws OptionError for names that there are not. */
  deleteAdapters(names: string | readonly string[]): Promise<void>;
  /** Removes all adapters: weights become what the files hold, bit for bit. */
  unloadLoraWeights(): Promise<void>;
  /** Draws without adapters until `enableLora`; they stay loaded. */
  disableLora(): Promise<void>;
  /** Draws with the active adapters again. */
  enableLora(): Promise<void>;
  /** Names of the active adapters. */
  getActiveAdapters(): string[];
  /** Names of all adapters, by the component that they change. */
  getListAdapters(): Partial<Record<LoraComponent, string[]>>;
}

/** What adapters need of their pipeline. */
export interface LoraHost {
  readonly platform: Platform;
  readonly networks: ReadonlyMap<LoraComponent, Network>;
  onNotice(notice: string): void;
  /** Does some work when all calls made before are done. */
  enqueue(work: () => Promise<void>): Promise<void>;
}

/** Whether there are no adapters, and nothing of them needs to be loaded. */
function isEmpty({ adapters }: AdapterState): boolean {
  return adapters.size === 0;
}

/** A pipeline's adapters. */
export class LoraAdapters {
  readonly #host: LoraHost;
  #state = NO_ADAPTERS;
  /** Whether there were adapters ever. */
  #isAdapted = false;

  constructor(host: LoraHost) {
    this.#host = host;
  }

  /**
   * The adapters of this moment, and those that a prompt names at its weights.
   * @throws OptionError for a name that no adapter has
   */
  stateWith(loras: readonly PromptLora[]): AdapterState {
    const names = loras.map(({ name }) => name);
    checkAdapterNames(this.#state, names);
    if (loras.length === 0) return this.#state;
    const modules = this.#modules();
    const weights = loras.map(({ textEncoder, unet }) => {
      const weight: AdapterWeight = {
        ...(modules.has('unet') && { unet }),
        ...(modules.has('transformer') && { transformer: unet }),
        ...(modules.has('text_encoder') && { textEncoder }),
        ...(modules.has('text_encoder_2') && { textEncoder2: textEncoder }),
      };
      return { weight, weights: LORA.loaded.readAdapterWeight(weight, modules) };
    });
    return LORA.loaded.withAlsoActive(this.#state, names, weights);
  }

  /** Brings the weights on the device up to a state. Call it in the queue. */
  async apply(state: AdapterState, signal?: AbortSignal): Promise<void> {
    if (!isEmpty(state)) this.#isAdapted = true;
    if (!this.#isAdapted) return;
    for (const [component, network] of this.#host.networks)
      await LORA.loaded.adapt(network, component, state, signal);
  }

  /** The adapters that count in a state. */
  used({ adapters, ...state }: AdapterState): UsedAdapter[] {
    if (!state.enabled) return [];
    return activeAdapters({ adapters, ...state }).flatMap((name) => {
      const adapter = adapters.get(name);
      return adapter ? [{ name, source: adapter.source, weight: adapter.weight }] : [];
    });
  }

  /** The methods, to be put on a pipeline. */
  methods(): LoraMethods {
    const listOf = (names: string | readonly string[]): readonly string[] =>
      typeof names === 'string' ? [names] : names;
    return {
      loadLoraWeights: (source, options = {}) => this.#load(source, options),
      setAdapters: (names, weights) => this.#activate(listOf(names), weights),
      deleteAdapters: (names) => {
        checkAdapterNames(this.#state, listOf(names));
        if (isEmpty(this.#state)) return this.#become(this.#state);
        return this.#become(LORA.loaded.withoutAdapters(this.#state, listOf(names)));
      },
      unloadLoraWeights: () => this.#become(NO_ADAPTERS),
      disableLora: () => this.#become({ ...this.#state, enabled: false }),
      enableLora: () => this.#become({ ...this.#state, enabled: true }),
      getActiveAdapters: () => activeAdapters(this.#state),
      getListAdapters: () =>
        Object.fromEntries(
          LORA_COMPONENTS.flatMap((component) => {
            const names = [...this.#state.adapters].filter(([, { layers }]) => layers.has(component));
            return names.length > 0 ? [[component, names.map(([name]) => name)]] : [];
          }),
        ),
    };
  }

  #modules(): Map<LoraComponent, Modules> {
    return new Map([...this.#host.networks].map(([component, network]) => [component, network.modules]));
  }

  async #load(source: AddedFileSource, options: LoadLoraOptions): Promise<void> {
    checkOptionNames('loadLoraWeights', options, OPTIONS);
    const { platform, onNotice } = this.#host;
    const { adapterName, ownAlphas = false, signal, onProgress } = options;
    this.#checkFree(adapterName);
    const { LORA_FILE, openAdapterConfig, openAddedFile, readAdapterWeight, readLoraFile, withAdapter } =
      await LORA.load();
    const file = await openAddedFile(platform, LORA_FILE, source, options, onNotice);
    try {
      const { layers, notices } = await readLoraFile(file, this.#modules(), {
        ownAlphas,
        config: await openAdapterConfig(platform, file, source, options, onNotice),
        signal,
        onProgress: (done, total) => onProgress?.({ phase: 'weights', item: file.name, done, total }),
      });
      // Another one may have been loaded under this name meanwhile.
      this.#checkFree(adapterName);
      notices.forEach(onNotice);
      const adapter = { source: file.name, layers, weight: 1, weights: readAdapterWeight(1, new Map()) };
      await this.#become(withAdapter(this.#state, adapterName ?? this.#freeName(), adapter));
    } finally {
      await file.close();
    }
  }

  #activate(
    names: readonly string[],
    weights: AdapterWeight | readonly (AdapterWeight | null | undefined)[] | undefined,
  ): Promise<void> {
    checkAdapterNames(this.#state, names);
    const repeated = names.find((name, i) => names.indexOf(name) !== i);
    if (repeated !== undefined)
      throw new OptionError('it is named twice', { field: repeated, remedy: 'Name each adapter once' });
    const given = Array.isArray(weights) ? weights : names.map(() => weights);
    if (given.length !== names.length)
      throw new OptionError(`there are ${given.length} weights for ${names.length} adapters`, {
        field: 'weights',
        remedy: 'Give one weight for each adapter, or one for all',
      });
    if (isEmpty(this.#state)) return this.#become(this.#state);
    const modules = this.#modules();
    const read = given.map((weight: AdapterWeight | null | undefined) => ({
      weight: weight ?? 1,
      weights: LORA.loaded.readAdapterWeight(weight, modules),
    }));
    return this.#become(LORA.loaded.withActive(this.#state, names, read));
  }

  #checkFree(name: string | undefined): void {
    if (name === undefined || !this.#state.adapters.has(name)) return;
    throw new OptionError('there is an adapter of this name already', {
      field: name,
      remedy: 'Choose another adapterName, or delete that adapter first',
    });
  }

  #freeName(): string {
    let i = this.#state.adapters.size;
    while (this.#state.adapters.has(`default_${i}`)) i++;
    return `default_${i}`;
  }

  /** Takes a state on, and lets the device follow. What goes wrong there is met again by the next call. */
  #become(state: AdapterState): Promise<void> {
    this.#state = state;
    const applied = this.#host.enqueue(() => this.apply(state));
    applied.catch(() => undefined);
    return applied;
  }
}
