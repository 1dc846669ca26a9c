/** @file Reads the files of a pipeline's components. */

import type { Graph } from '../../graph/graph.ts';
import { openWeights } from '../../loaders/component.ts';
import { LORA_COMPONENTS, type LoraComponent } from '../../loaders/lora/layer-parts.ts';
import { readJson, type ModelSource } from '../../loaders/model-source.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import type { AddedVectors } from '../prompt/added-vectors.ts';
import { loadNetwork, type Aliases, type ComponentDType } from './load-network.ts';
import type { Network } from '../network.ts';
import type { LoadPipelineOptions } from './loaded-pipeline.ts';
import type { ComponentName, Placement } from './placement.ts';

/** What the component in a folder is called where it is placed. */
const PLACES = {
  transformer: 'unet',
  vae: 'vae',
  text_encoder: 'textEncoder',
  text_encoder_2: 'textEncoder2',
} as const satisfies Readonly<Record<string, ComponentName>>;

/** Reads one pipeline's files; keeps what must be closed or freed if loading fails half-way. */
export class ComponentLoader {
  readonly notices: string[];
  readonly networks = new Map<LoraComponent, Network>();
  /** See `LoadedPipeline`. */
  readonly besideUNet = new Map<string, WeightSource>();
  readonly source: ModelSource;
  readonly placement: Placement;
  readonly options: LoadPipelineOptions;
  readonly #cleanup: (() => void)[] = [];

  constructor(source: ModelSource, placement: Placement, options: LoadPipelineOptions) {
    this.source = source;
    this.placement = placement;
    this.options = options;
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

  /** Closes a file together with the pipeline. */
  closeLater(weights: WeightSource): void {
    this.#cleanup.push(() => void weights.close());
  }

  /** A configuration, read and checked. */
  async json<T>(
    path: string,
    parse: (json: unknown, context: { file: string; onNotice: (notice: string) => void }) => T,
  ): Promise<T> {
    const json = await readJson(this.source, path, this.options.signal);
    return parse(json, {
      file: `${this.source.name}/${path}`,
      onNotice: (notice) => this.notices.push(notice),
    });
  }

  /** The weights of a subfolder. */
  async weights(subfolder: string): Promise<WeightSource> {
    const { variant, signal } = this.options;
    const weights = await openWeights(this.source, subfolder, {
      ...(variant && { variant }),
      ...(signal && { signal }),
      onNotice: (notice) => this.notices.push(notice),
    });
    this.closeLater(weights);
    return weights;
  }

  /** The weights of a subfolder, as a network that can run these graphs. */
  async network(
    subfolder: keyof typeof PLACES,
    graphs: readonly Graph[],
    dtype: ComponentDType,
    extra: { readonly aliases?: Aliases; readonly upcast?: boolean; readonly added?: AddedVectors } = {},
  ): Promise<Network> {
    const weights = await this.weights(subfolder);
    const { added, ...how } = extra;
    const stored = added ? added.over(weights) : weights;
    const backend = this.placement.of(PLACES[subfolder]);
    const network = loadNetwork(subfolder, backend, stored, graphs, { dtype, ...how });
    const component = LORA_COMPONENTS.find((name) => name === subfolder);
    if (component) this.networks.set(component, network);
    return network;
  }

  /** The type that was asked for. */
  dtypeOf(component: 'unet' | 'vae' | 'textEncoder'): ComponentDType {
    const { dtype = 'auto' } = this.options;
    return typeof dtype === 'string' ? dtype : (dtype[component] ?? 'auto');
  }
}
