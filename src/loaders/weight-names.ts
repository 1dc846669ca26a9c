/** @file The names that diffusers and transformers give a component's weights. */

/** diffusers' name, then transformers'. */
export const BASE_NAMES = ['diffusion_pytorch_model', 'model'];

/** A single file. */
export function singleFileNames(base: string, variant: string | undefined): string[] {
  return [variant === undefined ? `${base}.safetensors` : `${base}.${variant}.safetensors`];
}

/** diffusers writes the first form; the second is found in older repositories. */
export function indexNames(base: string, variant: string | undefined): string[] {
  return variant === undefined
    ? [`${base}.safetensors.index.json`]
    : [`${base}.safetensors.index.${variant}.json`, `${base}.${variant}.safetensors.index.json`];
}
