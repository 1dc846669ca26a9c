/** @file A CLIP text encoder with its tokenizer: a prompt's tokens in, hidden states and pooled embedding out. */

import type { Program } from '../backends/backend.ts';
import { OptionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { CLIPTextConfig } from '../loaders/configs/clip-text.ts';
import { buildCLIPText, pooledTokenIndex } from '../models/clip-text.ts';
import { selectOutputs } from '../models/select-outputs.ts';
import type { TokenChunk } from '../text/prompt-tokens.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { applyWeights } from '../text/webui/emphasis.ts';
import { stack } from './conditioning.ts';
import { RecentCache, type Network, type ProgramOptions } from './network.ts';

/** What a prompt becomes. */
export interface EncodedText {
  /** [tokens, channels], chunk after chunk. */
  readonly hidden: Float32Array;
  readonly tokens: number;
  /** Of the first chunk: `text_embeds` of an encoder with projection, else the pooled output: [channels]. */
  readonly pooled: Float32Array;
}

/** Which of the encoder's results a pipeline reads. */
export interface HiddenLayer {
  /** 0 is the last layer, 1 the one before it, and so on. */
  readonly skip: number;
  /** Whether the final layer norm is applied. */
  readonly normed: boolean;
}

/** A text encoder on a device. */
export class PromptEncoder {
  readonly config: CLIPTextConfig;
  readonly tokenizer: Tokenizer;
  readonly #network: Network;
  readonly #graph: Graph;
  readonly #pooled: string;
  readonly #programs = new RecentCache<Program>(2);

  /** @param projection whether it is a CLIPTextModelWithProjection */
  constructor(network: Network, config: CLIPTextConfig, tokenizer: Tokenizer, projection: boolean) {
    this.#network = network;
    this.config = config;
    this.tokenizer = tokenizer;
    this.#graph = buildCLIPText(config, { projection });
    this.#pooled = projection ? 'text_embeds' : 'pooler_output';
  }

  /** Encodes one prompt. Throws OptionError where more layers are skipped than there are. */
  async encode(
    chunks: readonly TokenChunk[],
    layer: HiddenLayer,
    options: ProgramOptions = {},
  ): Promise<EncodedText> {
    const { numHiddenLayers } = this.config;
    if (layer.skip > numHiddenLayers)
      throw new OptionError(`the text encoder has only ${numHiddenLayers} layers`, {
        field: 'clipSkip',
        remedy: `Leave out fewer than ${numHiddenLayers} of them`,
      });
    const hidden: Float32Array[] = [];
    let pooled: Float32Array | undefined;
    for (const { ids, weights } of chunks) {
      const encoded = await this.#run(ids, layer, options);
      hidden.push(weights ? applyWeights(encoded.hidden, weights) : encoded.hidden);
      pooled ??= encoded.pooled;
    }
    const tokens = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
    return { hidden: stack(hidden), tokens, pooled: pooled ?? new Float32Array() };
  }

  async #run(ids: Int32Array, { skip, normed }: HiddenLayer, options: ProgramOptions) {
    const hiddenName = `${normed ? 'normed_' : ''}hidden_states.${this.config.numHiddenLayers - skip}`;
    const tokens = ids.length;
    const program = await this.#programs.get(`${hiddenName}/${tokens}`, () =>
      this.#network.compile(
        selectOutputs(this.#graph, [hiddenName, this.#pooled]),
        { batch: 1, tokens },
        options,
      ),
    );
    program.write('input_ids', ids);
    program.write('pooled_index', Int32Array.of(pooledTokenIndex(ids, this.config)));
    program.run();
    const [hidden, pooled] = await Promise.all([program.read(hiddenName), program.read(this.#pooled)]);
    return { hidden, pooled };
  }

  dispose(): void {
    this.#programs.dispose();
    this.#network.dispose();
  }
}
