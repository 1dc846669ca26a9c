/**
 * @file Files of textual inversion (Gal et al. 2022): learned vectors for a new word. diffusers' form is one tensor
 * whose name is the word; sd-webui's is `emb_params`; that of SDXL has a tensor for each text encoder, `clip_l` and
 * `clip_g`. Vectors are [count, channels], or [channels] for one.
 */

import { FileFormatError } from '../errors.ts';
import { decodeToF32 } from '../tensor/decode.ts';
import type { WeightSource } from './weight-source.ts';

/** Vectors of one text encoder. */
export interface LearnedVectors {
  /** The tensor's name in the file. */
  readonly name: string;
  readonly channels: number;
  readonly vectors: readonly Float32Array[];
}

/** What a file holds. */
export interface TextualInversion {
  /** The word, where the file tells it. */
  readonly token: string | undefined;
  /** For SDXL's form, the first and the second encoder's vectors; else those of one encoder. */
  readonly encoders:
    | { readonly kind: 'one'; readonly vectors: LearnedVectors }
    | { readonly kind: 'both'; readonly first: LearnedVectors; readonly second: LearnedVectors };
}

/** The names under which sd-webui and its converters keep vectors; they are no words. */
const NAMELESS = new Set(['emb_params', '*']);
/** No prompt has room for so many. */
const MAX_VECTORS = 1024;

/** Reads a file. Throws FileFormatError for one of another form. */
export async function readTextualInversion(
  file: WeightSource,
  signal?: AbortSignal,
): Promise<TextualInversion> {
  const names = [...file.names()];
  const read = (name: string): Promise<LearnedVectors> => readVectors(file, name, signal);
  if (names.length === 2 && file.has('clip_l') && file.has('clip_g')) {
    const [first, second] = [await read('clip_l'), await read('clip_g')];
    if (first.vectors.length !== second.vectors.length)
      throw misfit(
        file,
        `clip_l has ${first.vectors.length} vectors and clip_g has ${second.vectors.length}`,
        'clip_g',
      );
    return { token: undefined, encoders: { kind: 'both', first, second } };
  }
  const [name, ...others] = names;
  if (name === undefined || others.length > 0)
    throw misfit(
      file,
      `holds ${names.length} tensors${names.length > 0 ? ` (${names.slice(0, 5).join(', ')})` : ''}, ` +
        'not one named for its word, emb_params, or clip_l and clip_g',
    );
  return {
    token: NAMELESS.has(name) ? undefined : name,
    encoders: { kind: 'one', vectors: await read(name) },
  };
}

async function readVectors(file: WeightSource, name: string, signal?: AbortSignal): Promise<LearnedVectors> {
  const { dtype, shape } = file.info(name);
  const channels = shape.at(-1) ?? 0;
  const count = shape.length === 1 ? 1 : shape[0];
  if (shape.length < 1 || shape.length > 2 || channels === 0 || count === 0 || count > MAX_VECTORS)
    throw misfit(file, `has the shape [${shape.join(', ')}], not [vectors, channels]`, name);
  const data = decodeToF32(await file.read(name, signal), dtype);
  if (!data.every(Number.isFinite)) throw misfit(file, 'has values that are not finite', name);
  return {
    name,
    channels,
    vectors: Array.from({ length: count }, (_, i) => data.slice(i * channels, (i + 1) * channels)),
  };
}

function misfit(file: WeightSource, problem: string, field?: string): FileFormatError {
  return new FileFormatError(problem, {
    file: file.name,
    ...(field !== undefined && { field }),
    remedy: 'Use a textual inversion file, as diffusers or stable-diffusion-webui save them',
  });
}
