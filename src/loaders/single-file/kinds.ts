/**
 * @file The models that come as single files, how diffusers 0.42.1 tells them apart
 * (diffusers/loaders/single_file_utils.py, `infer_diffusers_model_type`), and what was published with each.
 */
import type { SafetensorsFile } from '../safetensors.ts';
import { refuseQuantised, unknownLayout, unsupported } from './refusals.ts';

/** What a checkpoint's tensors cannot say about a model of its kind. */
export interface ModelKind {
  readonly title: string;
  /** diffusers' pipeline class. */
  readonly className: string;
  /** The Hub repository that diffusers takes as this kind's model folder. */
  readonly repository: string;
  /** Height and width of the latents that it was trained at. */
  readonly sampleSize: number;
  /** diffusers' scheduler_config.json. */
  readonly scheduler: Readonly<Record<string, unknown>>;
  /** Heads of the UNet's attentions: as many everywhere, or one for so many channels. */
  readonly heads: { readonly count: number } | { readonly channels: number };
  readonly upcastAttention: boolean;
  /** The first text encoder was trained by OpenCLIP. */
  readonly openClipText: boolean;
  readonly scalingFactor: number;
  /** Entries of model_index.json besides the components. */
  readonly settings: Readonly<Record<string, boolean>>;
}

/** What all of them have in common. */
const BETAS = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  steps_offset: 1,
  clip_sample: false,
  skip_prk_steps: true,
  trained_betas: null,
};

const SD1 = {
  title: 'Stable Diffusion 1.x',
  className: 'StableDiffusionPipeline',
  repository: 'stable-diffusion-v1-5/stable-diffusion-v1-5',
  sampleSize: 64,
  scheduler: { _class_name: 'PNDMScheduler', ...BETAS },
  heads: { count: 8 },
  upcastAttention: false,
  openClipText: false,
  scalingFactor: 0.18215,
  settings: {},
} satisfies ModelKind;

const SD2 = {
  ...SD1,
  title: 'Stable Diffusion 2.x',
  repository: 'stabilityai/stable-diffusion-2-1',
  sampleSize: 96,
  scheduler: { _class_name: 'DDIMScheduler', ...BETAS, prediction_type: 'v_prediction' },
  heads: { channels: 64 },
  upcastAttention: true,
  openClipText: true,
} satisfies ModelKind;

/** The 512x512 model, which predicts noise. */
const SD2_BASE = {
  ...SD2,
  title: 'Stable Diffusion 2.x base',
  repository: 'stabilityai/stable-diffusion-2-1-base',
  sampleSize: 64,
  scheduler: { ...SD1.scheduler, prediction_type: 'epsilon' },
  upcastAttention: false,
} satisfies ModelKind;

const SDXL = {
  ...SD1,
  title: 'Stable Diffusion XL',
  className: 'StableDiffusionXLPipeline',
  repository: 'stabilityai/stable-diffusion-xl-base-1.0',
  sampleSize: 128,
  scheduler: {
    _class_name: 'EulerDiscreteScheduler',
    ...BETAS,
    interpolation_type: 'linear',
    prediction_type: 'epsilon',
    sample_max_value: 1,
    timestep_spacing: 'leading',
    use_karras_sigmas: false,
  },
  heads: { channels: 64 },
  scalingFactor: 0.13025,
  settings: { force_zeros_for_empty_prompt: true },
} satisfies ModelKind;

/** All kinds that are recognised; what can be drawn with follows from their pipeline classes. */
const KINDS = {
  sd1: SD1,
  sd2: SD2,
  sd2Base: SD2_BASE,
  sdxl: SDXL,
  sdxlRefiner: {
    ...SDXL,
    title: 'Stable Diffusion XL refiner',
    className: 'StableDiffusionXLImg2ImgPipeline',
    repository: 'stabilityai/stable-diffusion-xl-refiner-1.0',
    settings: { force_zeros_for_empty_prompt: false, requires_aesthetics_score: true },
  },
  sd1Inpaint: {
    ...SD1,
    title: 'Stable Diffusion 1.x inpainting',
    className: 'StableDiffusionInpaintPipeline',
    repository: 'stable-diffusion-v1-5/stable-diffusion-inpainting',
    scheduler: { _class_name: 'DDIMScheduler', ...BETAS },
  },
  sd2Inpaint: {
    ...SD2,
    title: 'Stable Diffusion 2.x inpainting',
    className: 'StableDiffusionInpaintPipeline',
    repository: 'stabilityai/stable-diffusion-2-inpainting',
    sampleSize: 64,
    scheduler: { _class_name: 'DDIMScheduler', ...BETAS },
    upcastAttention: false,
  },
  sdxlInpaint: {
    ...SDXL,
    title: 'Stable Diffusion XL inpainting',
    className: 'StableDiffusionXLInpaintPipeline',
    repository: 'diffusers/stable-diffusion-xl-1.0-inpainting-0.1',
  },
  pix2pix: {
    ...SD1,
    title: 'InstructPix2Pix',
    className: 'StableDiffusionInstructPix2PixPipeline',
    repository: 'timbrooks/instruct-pix2pix',
  },
} as const satisfies Readonly<Record<string, ModelKind>>;

/** Tensors by which a kind is known. */
const UNET = 'model.diffusion_model.';
const CONV_IN = `${UNET}input_blocks.0.0.weight`;

/** Steps after which Stability saved the 512x512 base model; diffusers' rule for single files of SD 2.x. */
const SD2_BASE_STEPS = 875_000n;

/**
 * The kind of model that a checkpoint in the original layout holds.
 * Throws FileFormatError, with the first names in the file, for anything else, and for weights quantised to fewer
 * than 8 bits or with scales of their own.
 */
export async function detectKind(file: SafetensorsFile, signal?: AbortSignal): Promise<ModelKind> {
  const names = [...file.names()];
  refuseQuantised(file.name, names);
  if (!file.has(CONV_IN)) throw unknownLayout(file.name, names, CONV_IN);
  const has = (prefix: string): boolean => names.some((name) => name.startsWith(prefix));
  const xl = has('conditioner.embedders.1.');
  const refiner = has('conditioner.embedders.0.model.');
  const [, channels] = file.info(CONV_IN).shape;
  if (file.has('edm_mean')) throw unsupported(file.name, 'Playground 2.5, which needs the EDM schedulers');
  if (file.has(`${UNET}label_emb.weight`))
    throw unsupported(
      file.name,
      'the x4 upscaler, of which only the diffusers folder is read; this layout of it',
    );
  const sd2 = has('cond_stage_model.model.') || textWidth(file) === 1024;
  if (channels === 9) return xl ? KINDS.sdxlInpaint : sd2 ? KINDS.sd2Inpaint : KINDS.sd1Inpaint;
  if (channels === 8) return KINDS.pix2pix;
  if (channels !== 4) throw unsupported(file.name, `a UNet that takes ${channels} channels`);
  if (xl) return withMarks(KINDS.sdxl, file);
  if (refiner) return KINDS.sdxlRefiner;
  if (file.has(`${UNET}label_emb.0.0.weight`))
    throw unsupported(file.name, 'an unCLIP model, whose UNet is conditioned on pictures');
  if (!sd2) return KINDS.sd1;
  return (await globalStep(file, signal)) === SD2_BASE_STEPS ? KINDS.sd2Base : KINDS.sd2;
}

/** SDXL models of other predictions are marked by tensors that are there for that alone, as sd-webui and ComfyUI read them. */
function withMarks(kind: ModelKind, file: SafetensorsFile): ModelKind {
  return {
    ...kind,
    scheduler: {
      ...kind.scheduler,
      ...(file.has('v_pred') && { prediction_type: 'v_prediction' }),
      ...(file.has('ztsnr') && { rescale_betas_zero_snr: true }),
    },
  };
}

/** Width of the text embeddings that the UNet's first attention takes. */
function textWidth(file: SafetensorsFile): number | undefined {
  for (const name of file.names())
    if (name.startsWith(UNET) && name.endsWith('.transformer_blocks.0.attn2.to_k.weight'))
      return file.info(name).shape[1];
  return undefined;
}

/** Steps of training, if the file says. */
async function globalStep(
  file: SafetensorsFile,
  signal: AbortSignal | undefined,
): Promise<bigint | undefined> {
  const name = 'global_step';
  if (!file.has(name)) return undefined;
  const { dtype, byteLength } = file.info(name);
  if (dtype !== 'I64' || byteLength !== 8) return undefined;
  const bytes = await file.read(name, signal);
  return new DataView(bytes.buffer).getBigInt64(0, true);
}
