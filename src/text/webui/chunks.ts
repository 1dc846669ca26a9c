/**
 * @file Prompts of any length in chunks that the text encoder can read, as stable-diffusion-webui cuts them: 75 tokens
 * each, before a word that no longer fits, but after the last comma where that is at most 20 tokens back.
 */

import { OptionError } from '../../errors.ts';

/** Tokens of a piece of text, all of one weight. */
export interface WeightedTokens {
  readonly ids: readonly number[];
  readonly weight: number;
}

/** What fits into the text encoder at once, without the tokens that frame it. */
export interface Chunk {
  readonly ids: readonly number[];
  /** One for each id. */
  readonly weights: readonly number[];
}

/** How to cut. */
export interface ChunkOptions {
  /** Tokens that a chunk holds. */
  readonly length: number;
  /** Id of the comma. */
  readonly comma: number | undefined;
  /** The ids that a token stands for (the vectors of an embedding), which stay together; default itself. */
  readonly expand?: (id: number) => readonly number[];
  /** Option that the prompt is from, for messages. Default prompt. */
  readonly field?: string;
}

/** sd-webui's default of "Prompt word wrap length limit". */
const BACKTRACK = 20;
/** 19,200 tokens. */
const MAX_CHUNKS = 256;

/**
 * Cuts tokens into chunks; there is at least one.
 * @throws OptionError for an embedding that is longer than a chunk, and for over 256 chunks
 */
export function chunkTokens(
  pieces: readonly (WeightedTokens | 'BREAK')[],
  { length, comma, expand = (id) => [id], field = 'prompt' }: ChunkOptions,
): Chunk[] {
  const chunks: Chunk[] = [];
  let ids: number[] = [];
  let weights: number[] = [];
  /** Place of the chunk's last comma. */
  let lastComma = -1;
  /** Ends the chunk before a place; what is after it begins the next one. */
  const endChunk = (at = ids.length): void => {
    chunks.push({ ids: ids.slice(0, at), weights: weights.slice(0, at) });
    if (chunks.length > MAX_CHUNKS) throw tooLong(field, `over ${MAX_CHUNKS * length} tokens`);
    ids = ids.slice(at);
    weights = weights.slice(at);
    lastComma = -1;
  };

  for (const piece of pieces) {
    if (piece === 'BREAK') {
      endChunk();
      continue;
    }
    for (const id of piece.ids) {
      const vectors = expand(id);
      if (vectors.length > length)
        throw tooLong(field, `an embedding of ${vectors.length} vectors where ${length} fit`);
      if (ids.length === length)
        endChunk(id !== comma && lastComma >= 0 && length - lastComma <= BACKTRACK ? lastComma + 1 : length);
      if (ids.length + vectors.length > length) endChunk();
      if (id === comma) lastComma = ids.length;
      ids.push(...vectors);
      weights.push(...vectors.map(() => piece.weight));
    }
  }
  if (ids.length > 0 || chunks.length === 0) endChunk();
  return chunks;
}

function tooLong(field: string, what: string): OptionError {
  return new OptionError(`it has ${what}`, { field, remedy: 'Give a shorter one' });
}
