/** @file A CLIP text encoder with its tokenizer: a prompt's tokens in, hidden states and pooled embedding out. */

import type { Program } from '../../backends/backend.ts';
import { OptionError } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import type { CLIPTextConfig } from '../../loaders/configs/clip-text.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import { buildCLIPText, pooledTokenIndex, TOKEN_EMBEDDING } from '../../models/clip-text.ts';
import { selectOutputs } from '../../models/select-outputs.ts';
import type { InvertedToken } from '../../text/inverted-tokens.ts';
import type { TokenChunk } from '../../text/prompt-tokens.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { WEBUI } from '../../text/webui-part.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import type { AddedVectors, LearnedToken } from './added-vectors.ts';
import { stack } from './conditioning.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';

/** What a prompt becomes. */
export interface EncodedText {
  /** [tokens, channels], chunk after chunk. */
  readonly hidden: Float32Array;
  readonly tokens: number;
  /** Of the first chunk: `text_embeds` of an encoder with projection, else the pooled output: [channels]. */
  readonly pooled: Float32Array;
  /** It is kept as programs are, but has nothing to free. */
  readonly dispose?: undefined;
}

/** Which of the encoder's results a pipeline reads. */
export interface HiddenLayer {
  /** 0 is the last layer, 1 the one before it, and so on. */
  readonly skip: number;
  /** Whether the final layer norm is applied. */
  readonly normed: boolean;
}

/** What a text encoder is made of. */
export interface PromptEncoderParts {
  readonly network: Network;
  readonly config: CLIPTextConfig;
  readonly tokenizer: Tokenizer;
  /** Whether it is a CLIPTextModelWithProjection. */
  readonly projection: boolean;
  /** Learned words, which the network's weights tell too. */
  readonly added: AddedVectors;
}

/** A text encoder on a device. */
export class PromptEncoder {
  readonly config: CLIPTextConfig;
  readonly #parts: PromptEncoderParts;
  readonly #programs = new RecentCache<Program>(2);
  /** SDXL's take 0.6 MB each. */
  readonly #texts = new RecentCache<EncodedText>(16);
  #tokenizer: Tokenizer;
  #graph: Graph;
  /** The graph without what leads to other outputs, by the hidden layer's name. */
  readonly #readings = new Map<string, Graph>();

  constructor(parts: PromptEncoderParts) {
    this.#parts = parts;
    this.config = parts.config;
    this.#tokenizer = parts.tokenizer;
    this.#graph = buildCLIPText(parts.config, parts);
  }

  get network(): Network {
    return this.#parts.network;
  }

  /** It knows the learned words. */
  get tokenizer(): Tokenizer {
    return this.#tokenizer;
  }

  /** The learned words with their ids, which follow those of the model's own table. */
  get inverted(): readonly InvertedToken[] {
    return this.#parts.added.inverted(this.config.vocabSize);
  }

  /** The learned words. */
  get learned(): readonly LearnedToken[] {
    return this.#parts.added.tokens;
  }

  /** Replaces all learned words. Of the weights, only the table of tokens is loaded again, by the next call. */
  learn(tokens: readonly LearnedToken[]): void {
    const { added, network, config, projection, tokenizer } = this.#parts;
    this.#programs.dispose();
    this.#texts.dispose();
    network.forget(TOKEN_EMBEDDING);
    added.set(tokens);
    this.#tokenizer = added.teach(tokenizer, config.vocabSize);
    this.#graph = buildCLIPText(config, { projection, addedTokens: added.tensor });
    this.#readings.clear();
  }

  /**
   * Encodes one prompt, unless it was lately: negative prompts are mostly the same ones.
   * @throws OptionError where more layers are skipped than there are
   */
  async encode(
    chunks: readonly TokenChunk[],
    layer: HiddenLayer,
    options: ProgramOptions = {},
  ): Promise<EncodedText> {
    const key = JSON.stringify([this.network.generation, chunks, layer]);
    return this.#texts.get(key, () => this.#encode(chunks, layer, options));
  }

  async #encode(
    chunks: readonly TokenChunk[],
    layer: HiddenLayer,
    options: ProgramOptions,
  ): Promise<EncodedText> {
    const hidden: Float32Array[] = [];
    let pooled: Float32Array | undefined;
    for (const { ids, weights } of chunks) {
      const encoded = await this.#run(ids, layer, options);
      hidden.push(weights ? (await WEBUI.load()).applyWeights(encoded.hidden, weights) : encoded.hidden);
      pooled ??= encoded.pooled;
    }
    const tokens = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
    return { hidden: stack(hidden), tokens, pooled: pooled ?? new Float32Array() };
  }

  /** Begins to compile the kernels that read a layer of a prompt of the usual length, unless its program is there. */
  warm(layer: HiddenLayer): void {
    const tokens = this.#tokenizer.modelMaxLength;
    const { graph, hiddenName } = this.#reading(layer);
    if (!this.#programs.has(`${hiddenName}/${tokens}`)) this.network.warm(graph, { batch: 1, tokens });
  }

  /** What the programs take that read these layers. */
  demands(layers: readonly HiddenLayer[]): PlanDemand[] {
    const tokens = this.#tokenizer.modelMaxLength;
    const graphs = new Set(layers.map((layer) => this.#reading(layer).graph));
    return [...graphs].map((graph) => this.network.demand(graph, { batch: 1, tokens }));
  }

  /** The graph that reads a layer, and the names of its outputs. */
  #reading({ skip, normed }: HiddenLayer) {
    const { numHiddenLayers } = this.config;
    if (skip > numHiddenLayers)
      throw new OptionError(`the text encoder has only ${numHiddenLayers} layers`, {
        field: 'clipSkip',
        remedy: `Leave out fewer than ${numHiddenLayers} of them`,
      });
    const hiddenName = `${normed ? 'normed_' : ''}hidden_states.${numHiddenLayers - skip}`;
    const pooledName = this.#parts.projection ? 'text_embeds' : 'pooler_output';
    const graph = this.#readings.get(hiddenName) ?? selectOutputs(this.#graph, [hiddenName, pooledName]);
    this.#readings.set(hiddenName, graph);
    return { graph, hiddenName, pooledName };
  }

  async #run(ids: Int32Array, layer: HiddenLayer, options: ProgramOptions) {
    const { graph, hiddenName, pooledName } = this.#reading(layer);
    const tokens = ids.length;
    const program = await this.#programs.get(`${hiddenName}/${tokens}`, () =>
      this.network.compile(graph, { batch: 1, tokens }, options),
    );
    program.write('input_ids', ids);
    program.write('pooled_index', Int32Array.of(pooledTokenIndex(ids, this.config)));
    program.run();
    const reading = Promise.all([program.read(hiddenName), program.read(pooledName)]);
    const [hidden, pooled] = await unlessAborted(reading, options.signal);
    return { hidden, pooled };
  }

  /** Frees programs and weights; the next use makes them again. */
  release(): void {
    this.#programs.dispose();
    this.network.vacate();
  }

  dispose(): void {
    this.release();
    this.network.dispose();
  }
}
