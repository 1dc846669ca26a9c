/** @file A T5 text encoder with its tokenizer: a prompt in, hidden states and the mask of its tokens out. */

import type { Program } from '../../backends/backend.ts';
import type { Graph } from '../../graph/graph.ts';
import type { T5EncoderConfig } from '../../loaders/configs/t5-encoder.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import { buildT5Encoder, t5Inputs } from '../../models/t5-encoder.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';

/** What a prompt becomes. */
export interface T5Text {
  /** [tokens, dModel], padding included. */
  readonly hidden: Float32Array;
  /** [tokens]: 1 for tokens of the prompt, 0 for padding. */
  readonly mask: Float32Array;
  /** The end of the prompt that did not fit. */
  readonly truncated: string | undefined;
}

/** A T5 encoder on a device. */
export class T5TextEncoder {
  readonly config: T5EncoderConfig;
  readonly network: Network;
  readonly tokenizer: Tokenizer;
  readonly #graph: Graph;
  readonly #programs = new RecentCache<Program>(2);

  constructor(network: Network, config: T5EncoderConfig, tokenizer: Tokenizer) {
    this.network = network;
    this.config = config;
    this.tokenizer = tokenizer;
    this.#graph = buildT5Encoder(config);
  }

  /** Encodes one prompt, cut off or padded to `tokens`. Padding is not looked at. */
  async encode(prompt: string, tokens: number, options: ProgramOptions = {}): Promise<T5Text> {
    const { ids, length, truncated } = this.tokenizer.encode(prompt, { maxLength: tokens });
    const mask = Float32Array.from({ length: tokens }, (_, token) => (token < length ? 1 : 0));
    const program = await this.#programs.get(String(tokens), () =>
      this.network.compile(this.#graph, { tokens }, options),
    );
    program.write('input_ids', ids);
    for (const [name, data] of Object.entries(t5Inputs(this.config, mask))) program.write(name, data);
    program.run();
    const hidden = await unlessAborted(program.read('last_hidden_state'), options.signal);
    return { hidden, mask, truncated };
  }

  /** What the program takes for prompts of this length. */
  demands(tokens: number): PlanDemand[] {
    return [this.network.demand(this.#graph, { tokens })];
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
