/** @file A component without weights of the variant: those without one, or what is wrong. */
import { FileFormatError, NotFoundError } from '../errors.ts';
import type { OpenWeightsOptions } from './component.ts';
import { CONVERT_REMEDY } from './file-sniff.ts';
import { joinPath, readJson, type ModelSource } from './model-source.ts';
import { BASE_NAMES, indexNames, singleFileNames } from './weight-names.ts';
import type { WeightSource } from './weight-source.ts';

const INDEX = 'model_index.json';
/** The same weights as pickles. */
const PICKLES = ['diffusion_pytorch_model', 'pytorch_model'];

/**
 * Opens weights without a variant where another component of the model has it (diffusers
 * pipelines/pipeline_loading_utils.py, `_identify_model_variants`).
 * @param open opens the component with other options
 * @throws NotFoundError, FileFormatError: see `openWeights`
 */
export async function missingWeights(
  source: ModelSource,
  subfolder: string,
  { variant, ...others }: OpenWeightsOptions,
  open: (without: OpenWeightsOptions) => Promise<WeightSource>,
): Promise<WeightSource> {
  const { signal, onNotice } = others;
  if (variant === undefined || !(await isVariantOf(source, variant, signal)))
    throw await noWeights(source, subfolder, variant, signal);
  const weights = await open(others);
  onNotice?.(`${subfolder} has no weights of the variant "${variant}"; those without a variant are used`);
  return weights;
}

/** Whether a model has a variant for any of its components. */
async function isVariantOf(
  source: ModelSource,
  variant: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!(await source.exists(INDEX, signal))) return false;
  const index = await readJson(source, INDEX, signal);
  const names = BASE_NAMES.flatMap((base) => [
    ...singleFileNames(base, variant),
    ...indexNames(base, variant),
  ]);
  for (const [component, entry] of Object.entries(index ?? {})) {
    if (!Array.isArray(entry) || !/^\w+$/.test(component)) continue;
    for (const name of names) if (await source.exists(joinPath(component, name), signal)) return true;
  }
  return false;
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
