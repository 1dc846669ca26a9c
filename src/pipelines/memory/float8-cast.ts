/**
 * @file Weights of wider files as float8_e4m3fn, which ones and how as diffusers' `enable_layerwise_casting` does it
 * (hooks/layerwise_casting.py): those of linear layers and convolutions with their biases, rounded once; norms, embeddings
 * and the layers that it names are left as they are.
 */

import { FileFormatError } from '../../errors.ts';
import { STORED_DTYPES } from '../../tensor/dtype.ts';
import { storedToE4M3 } from '../../tensor/float8.ts';
import type { TensorCast } from './tensor-reader.ts';

/** DEFAULT_SKIP_MODULES_PATTERN */
const SKIPPED = /pos_embed|patch_embed|norm|^proj_in$|^proj_out$/;
/** Nets beside a UNet are models of their own. */
const NET = /^controlnet\.\d+\./;
/** Tables are no linear layers. */
const TABLE = /embedding\.weight$/;

/** Whether a tensor is held as float8. `rankOf` gives the number of a tensor's dimensions, 0 for one that is not there. */
function isCast(tensor: string, rankOf: (tensor: string) => number): boolean {
  const [, module, part] = /^(.+)\.(weight|bias)$/.exec(tensor.replace(NET, '')) ?? [];
  if (module === undefined || SKIPPED.test(module) || TABLE.test(tensor)) return false;
  return rankOf(tensor.slice(0, -part.length) + 'weight') > 1;
}

/** The cast of a component's tensors, whose shapes are these. */
export function float8Cast(shapes: ReadonlyMap<string, readonly number[]>): TensorCast {
  const rankOf = (tensor: string): number => shapes.get(tensor)?.length ?? 0;
  const typeOf: TensorCast['typeOf'] = (name, stored) =>
    STORED_DTYPES[stored] > 1 && isCast(name, rankOf) ? 'F8_E4M3' : stored;
  return {
    typeOf,
    convert(bytes, { dtype, file }, name) {
      if (typeOf(name, dtype) === dtype) return Promise.resolve(bytes);
      const codes = storedToE4M3(bytes, dtype);
      if (codes) return Promise.resolve(codes);
      throw new FileFormatError('has numbers over 448, the largest of float8', {
        file,
        field: name,
        remedy: 'Load the model without `memory.lossy`',
      });
    },
  };
}
