/**
 * @file Finds the weights of one component of a model folder, under the names that diffusers and transformers give
 * them (diffusers/utils/hub_utils.py, `_add_variant`).
 */
import { FileFormatError, NotFoundError } from '../errors.ts';
import { CONVERT_REMEDY } from './file-sniff.ts';
import { joinPath, type ModelSource } from './model-source.ts';
import { openSafetensors } from './safetensors.ts';
import { openShardedWeights } from './sharded-weights.ts';
import type { WeightSource } from './weight-source.ts';

/** Which weights to take. */
export interface OpenWeightsOptions {
  /** The part of the file name that tells precisions or versions apart, for example `fp16`. Default: none. */
  readonly variant?: string;
  readonly signal?: AbortSignal;
}

/** diffusers' name, then transformers'. */
const BASE_NAMES = ['diffusion_pytorch_model', 'model'];
/** The same weights as pickles. */
const PICKLES = ['diffusion_pytorch_model', 'pytorch_model'];

/**
 * Opens the weights of a component: one safetensors file, or shards with an index.
 * `subfolder` is the component's folder, '' for the model's own. Throws NotFoundError, naming what is there, if
 * there are none or not in this variant; FileFormatError if there are only pickles.
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
    if (await source.exists(path, signal)) return openShardedWeights(source, path, signal);
  }
  throw await noWeights(source, subfolder, variant, signal);
}

function singleFileNames(base: string, variant: string | undefined): string[] {
  return [variant === undefined ? `${base}.safetensors` : `${base}.${variant}.safetensors`];
}

/** diffusers writes the first form; the second is found in older repositories. */
function indexNames(base: string, variant: string | undefined): string[] {
  return variant === undefined
    ? [`${base}.safetensors.index.json`]
    : [`${base}.safetensors.index.${variant}.json`, `${base}.${variant}.safetensors.index.json`];
}

/** The error for a component without usable weights. */
async function noWeights(
  source: ModelSource,
  subfolder: string,
  variant: string | undefined,
  signal: AbortSignal | undefined,
): Promise<NotFoundError | FileFormatError> {
  const file = joinPath(source.name, subfolder);
  const there = await weightFiles(source, subfolder, signal);
  const usable = there.filter((name) => /\.safetensors(\.index(\..+)?\.json)?$/.test(name));
  const wanted = variant === undefined ? 'without a variant' : `of the variant "${variant}"`;
  if (usable.length > 0)
    return new NotFoundError(`there are no weights ${wanted}; there are ${usable.join(', ')}`, {
      file,
      remedy:
        variant === undefined
          ? 'Name the variant that you want (option `variant`)'
          : 'Leave the option `variant` out, or name one that is there',
    });
  if (there.length > 0)
    return new FileFormatError(
      `the weights are there only as ${there.join(', ')}, which are Python pickles`,
      {
        file,
        remedy: CONVERT_REMEDY,
      },
    );
  return new NotFoundError(
    `there are no weights (looked for ${BASE_NAMES.join('.safetensors, ')}.safetensors)`,
    {
      file,
      remedy: 'Check that the model is complete and in the diffusers layout',
    },
  );
}

/** Weight files of any kind that are there: by listing where that works, else by asking for the usual names. */
async function weightFiles(
  source: ModelSource,
  subfolder: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const isWeights = (name: string): boolean =>
    /\.(safetensors|bin|pt|pth|ckpt)$|\.safetensors\.index\..*json$/.test(name);
  const listed = await source.list(subfolder, signal);
  if (listed !== undefined) return listed.filter(isWeights);
  const usual = [
    ...BASE_NAMES.flatMap((base) => [undefined, 'fp16'].flatMap((variant) => singleFileNames(base, variant))),
    ...BASE_NAMES.flatMap((base) => [undefined, 'fp16'].flatMap((variant) => indexNames(base, variant))),
    ...PICKLES.flatMap((base) => [`${base}.bin`, `${base}.fp16.bin`]),
  ];
  const found: string[] = [];
  for (const name of usual) if (await source.exists(joinPath(subfolder, name), signal)) found.push(name);
  return found;
}
