/** @file Learned words of a text encoder: their vectors as a tensor that its files do not have. */

import type { StoredTensor } from '../../graph/graph.ts';
import { chunkBytes, type TensorInfo, type WeightSource } from '../../loaders/weight-source.ts';
import type { Bytes } from '../../loaders/byte-source.ts';
import { vectorName, type InvertedToken } from '../../text/inverted-tokens.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';

/** A learned word. */
export interface LearnedToken {
  readonly token: string;
  /** [channels] each. */
  readonly vectors: readonly Float32Array[];
}

/** The words that were added to a text encoder; the latest ones make a tensor [vectors, channels]. */
export class AddedVectors {
  #tokens: readonly LearnedToken[] = [];
  #bytes: Bytes = new Uint8Array();
  /** Counts changes, so that each tensor has a name of its own. */
  #generation = 0;

  get tokens(): readonly LearnedToken[] {
    return this.#tokens;
  }

  /** Replaces all words. */
  set(tokens: readonly LearnedToken[]): void {
    const vectors = tokens.flatMap((token) => token.vectors);
    const channels = vectors[0]?.length ?? 0;
    const data = new Float32Array(vectors.length * channels);
    vectors.forEach((vector, i) => data.set(vector, i * channels));
    this.#tokens = tokens;
    this.#bytes = new Uint8Array(data.buffer);
    this.#generation++;
  }

  /** The tensor; undefined without words. */
  get tensor(): StoredTensor | undefined {
    const vectors = this.#tokens.flatMap((token) => token.vectors);
    if (vectors.length === 0) return undefined;
    return { name: `textual_inversion.${this.#generation}`, shape: [vectors.length, vectors[0].length] };
  }

  /** The words with ids from `first` on. */
  inverted(first: number): InvertedToken[] {
    let next = first;
    return this.#tokens.map(({ token, vectors }) => ({ token, ids: vectors.map(() => next++) }));
  }

  /** A tokenizer that knows the words. */
  teach(tokenizer: Tokenizer, first: number): Tokenizer {
    if (this.#tokens.length === 0) return tokenizer;
    return tokenizer.withTokens(
      this.inverted(first).flatMap(({ token, ids }) =>
        ids.map((id, i) => ({ content: vectorName(token, i), id })),
      ),
    );
  }

  /** A text encoder's files with the tensor added. */
  over(files: WeightSource): WeightSource {
    const own = (name: string): TensorInfo | undefined => {
      const { tensor } = this;
      if (tensor?.name !== name) return undefined;
      return {
        dtype: 'F32',
        shape: tensor.shape,
        byteLength: this.#bytes.length,
        file: 'the textual inversions',
      };
    };
    return {
      name: files.name,
      names: () => files.names(),
      has: (name) => own(name) !== undefined || files.has(name),
      info: (name) => own(name) ?? files.info(name),
      read: async (name, signal) => (own(name) ? this.#bytes : files.read(name, signal)),
      readChunks: (name, maxBytes, signal) =>
        own(name) ? this.#chunks(maxBytes) : files.readChunks(name, maxBytes, signal),
      close: () => files.close(),
    };
  }

  async *#chunks(maxBytes: number): AsyncGenerator<Bytes, void, void> {
    const step = chunkBytes('F32', maxBytes);
    for (let at = 0; at < this.#bytes.length; at += step) yield this.#bytes.subarray(at, at + step);
  }
}
