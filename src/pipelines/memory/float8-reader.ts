/**
 * @file Weights of wider files as float8_e4m3fn, which ones and how as diffusers' `enable_layerwise_casting` does it
 * (hooks/layerwise_casting.py): those of linear layers and convolutions with their biases, rounded once; norms, embeddings
 * and the layers that it names are left as they are.
 */

import type { WeightReader } from '../../backends/backend.ts';
import { FileFormatError } from '../../errors.ts';
import { STORED_DTYPES } from '../../tensor/dtype.ts';
import { later } from '../../later.ts';

/** DEFAULT_SKIP_MODULES_PATTERN */
const SKIPPED = /pos_embed|patch_embed|norm|^proj_in$|^proj_out$/;
/** Nets beside a UNet are models of their own. */
const NET = /^controlnet\.\d+\./;
/** Tables are no linear layers. */
const TABLE = /embedding\.weight$/;

/** Whether a tensor is held as float8. `rankOf` gives the number of a tensor's dimensions, 0 for one that is not there. */
export function isCast(tensor: string, rankOf: (tensor: string) => number): boolean {
  const [, module, part] = /^(.+)\.(weight|bias)$/.exec(tensor.replace(NET, '')) ?? [];
  if (module === undefined || SKIPPED.test(module) || TABLE.test(tensor)) return false;
  return rankOf(tensor.slice(0, -part.length) + 'weight') > 1;
}

/** Reads tensors as they are stored, or, while it is on, as float8. */
export class Float8Reader implements WeightReader {
  isOn = false;
  readonly #stored: WeightReader;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor(stored: WeightReader, shapes: ReadonlyMap<string, readonly number[]>) {
    this.#stored = stored;
    this.#shapes = shapes;
  }

  info(name: string): ReturnType<WeightReader['info']> {
    const info = this.#stored.info(name);
    return this.#casts(name) ? { ...info, dtype: 'F8_E4M3' } : info;
  }

  /** Throws FileFormatError for numbers that float8 has no code for. */
  async read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#stored.read(name, signal);
    if (!this.#casts(name)) return bytes;
    const { dtype, file } = this.#stored.info(name);
    const { storedToE4M3 } = await later('float8', () => import('../../tensor/float8.ts'));
    const codes = storedToE4M3(bytes, dtype);
    if (codes) return codes;
    throw new FileFormatError('has numbers over 448, the largest of float8', {
      file,
      field: name,
      remedy: 'Load the model without `memory.lossy`',
    });
  }

  #casts(name: string): boolean {
    return (
      this.isOn &&
      STORED_DTYPES[this.#stored.info(name).dtype] > 1 &&
      isCast(name, (tensor) => this.#shapes.get(tensor)?.length ?? 0)
    );
  }
}
