/**
 * @file Finds the weights of one component of a model folder, under the names that diffusers and transformers give
 * them (diffusers/utils/hub_utils.py, `_add_variant`).
 */
import { NotFoundError } from '../errors.ts';
import { later } from '../later.ts';
import { joinPath, type ModelSource } from './model-source.ts';
import { openSafetensors } from './safetensors.ts';
import { BASE_NAMES, indexNames, singleFileNames } from './weight-names.ts';
import type { WeightSource } from './weight-source.ts';

/** Which weights to take. */
export interface OpenWeightsOptions {
  /** The part of the file name that tells precisions or versions apart, for example `fp16`. Default: none. */
  readonly variant?: string;
  readonly signal?: AbortSignal;
  /** Told that a component has no weights of the variant, so that those without one are taken. */
  readonly onNotice?: (notice: string) => void;
}

/**
 * Opens the weights of a component: one safetensors file, or shards with an index.
 * `subfolder` is the component's folder, '' for the model's own. Of a model that has the variant for some components, the
 * others are taken without one, as in diffusers. Throws NotFoundError, naming what is there, if there are none or not in
 * this variant; FileFormatError if there are only pickles.
 */
export async function openWeights(
  source: ModelSource,
  subfolder: string,
  options: OpenWeightsOptions = {},
): Promise<WeightSource> {
  const { variant, signal } = options;
  const own = await source.weights?.(subfolder, signal);
  if (own !== undefined) return own;
  if (variant !== undefined && !/^[\w-]+$/.test(variant))
    throw new NotFoundError(`${JSON.stringify(variant)} is no variant name`, {
      file: source.name,
      remedy: 'Variants are words such as fp16',
    });
  for (const name of BASE_NAMES.flatMap((base) => singleFileNames(base, variant))) {
    const file = await source.open(joinPath(subfolder, name), signal);
    if (file === undefined) continue;
    try {
      return await openSafetensors(file, signal);
    } catch (error) {
      await file.close?.();
      throw error;
    }
  }
  for (const name of BASE_NAMES.flatMap((base) => indexNames(base, variant))) {
    const path = joinPath(subfolder, name);
    if (!(await source.exists(path, signal))) continue;
    const { openShardedWeights } = await later('weights in shards', () => import('./sharded-weights.ts'));
    return openShardedWeights(source, path, signal);
  }
  const { missingWeights } = await later('weights that are missing', () => import('./missing-weights.ts'));
  return missingWeights(source, subfolder, options, (without) => openWeights(source, subfolder, without));
}
