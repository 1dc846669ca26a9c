/** @file What is no checkpoint that can be read, and what to do about it. */
import { FileFormatError } from '../../errors.ts';

/** Marks of formats whose numbers mean nothing without more tensors. */
const QUANTISED: readonly (readonly [mark: RegExp, what: string])[] = [
  [/\.(quant_state\.bitsandbytes__\w+|quant_map|nested_absmax|absmax)$/, '4-bit (bitsandbytes) weights'],
  [/\.(SCB|weight_format)$/, '8-bit (bitsandbytes) weights'],
  [/\.(qweight|qzeros)$/, 'int4 (AWQ or GPTQ) weights'],
  [/\.(wscales|wtscale|wcscales|lora_down_scale)$/, 'int4 (SVDQuant) weights'],
  [/(^|\.)(scaled_fp8|scale_weight|weight_scale|comfy_quant)$/, 'float8 weights with separate scales'],
];

/** Throws FileFormatError for weights that are quantised to fewer than 8 bits, or with scales of their own. */
export function refuseQuantised(file: string, names: readonly string[]): void {
  for (const name of names) {
    const found = QUANTISED.find(([mark]) => mark.test(name));
    if (found)
      throw new FileFormatError(`holds ${found[1]}, which are not read`, {
        file,
        field: name,
        remedy: 'Use a version of the model stored as float32, float16, bfloat16 or plain float8',
      });
  }
}

/** Other files that are often taken for checkpoints. */
const STRANGERS: readonly (readonly [mark: RegExp, what: string, remedy: string])[] = [
  [
    /(\.lora_(down|up|A|B)\.|^lora_(unet|te\d?)_|\.hada_w1_a$|\.lokr_w1)/,
    'a LoRA',
    'Load the model that it was made for, and then this file with loadLoraWeights',
  ],
  [
    /^(control_model|controlnet_cond_embedding|input_hint_block|controlnet_blocks)\./,
    'a ControlNet',
    'Load the model to be controlled, and name this file as its ControlNet',
  ],
  [
    /^(emb_params|string_to_param|clip_[lg])$/,
    'a textual inversion embedding',
    'Load the model that it was made for, and then this file with loadTextualInversion',
  ],
  [
    /^(first_stage_model\.|vae\.)?(encoder|decoder)\.(conv_in|mid|mid_block)\./,
    'a VAE alone',
    'Load a model, and name this file with its option `vae`',
  ],
  [
    /^(model\.diffusion_model\.)?double_blocks\./,
    'a FLUX model',
    'Only Stable Diffusion 1.x, 2.x and XL are read from single files',
  ],
  [
    /^(model\.diffusion_model\.)?joint_blocks\./,
    'a Stable Diffusion 3 model',
    'Only Stable Diffusion 1.x, 2.x and XL are read from single files',
  ],
  [
    /^(conv_in|down_blocks\.0\.resnets\.0\.norm1)\.weight$/,
    "a UNet in diffusers' layout",
    'Put it in the folder unet/ of a model folder, and load that with fromPretrained',
  ],
];

/** How many names an error shows. */
const SHOWN = 5;

/** The error for a file without the tensor that every checkpoint has: what it is, or what it begins with. */
export function unknownLayout(file: string, names: readonly string[], expected: string): FileFormatError {
  const first = names.length === 0 ? 'there are none' : names.slice(0, SHOWN).join(', ');
  for (const [mark, what, remedy] of STRANGERS)
    if (names.some((name) => mark.test(name)))
      return new FileFormatError(`is no checkpoint but ${what} (its first tensors: ${first})`, {
        file,
        remedy,
      });
  return new FileFormatError(
    `is no checkpoint that is known: ${expected} was expected, and its first tensors are ${first}`,
    {
      file,
      remedy:
        'Use a checkpoint of Stable Diffusion 1.x, 2.x or XL in the original layout, as sd-webui and ComfyUI do',
    },
  );
}

/** The error for a checkpoint of a kind that is known and not supported. */
export function unsupported(file: string, what: string): FileFormatError {
  return new FileFormatError(`holds ${what}, which is not supported`, {
    file,
    remedy: 'Use a checkpoint of Stable Diffusion 1.x, 2.x or XL',
  });
}
