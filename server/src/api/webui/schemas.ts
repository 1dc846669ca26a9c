/**
 * @file stable-diffusion-webui's API (its modules/api/models.py) as schemas. Fields are those that its clients send;
 * `unsupported.ts` says which of them may only have the value that asks for nothing.
 */
import { Type, type Static } from '@fastify/type-provider-typebox';
import { anything, maybe, text, whole } from './fields.ts';

const overrides = Type.Object(
  {
    sd_model_checkpoint: text(),
    CLIP_stop_at_last_layers: whole(1, 12),
    randn_source: maybe(Type.Enum(['GPU', 'CPU'])),
    samples_format: maybe(Type.Literal('png')),
    sd_vae: anything(),
    eta_noise_seed_delta: anything(),
    filter_nsfw: anything(),
  },
  { additionalProperties: false },
);

const shared = {
  prompt: text(),
  negative_prompt: text(),
  seed: maybe(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER - 1024 })),
  sampler_name: text(),
  sampler_index: text(),
  scheduler: text(),
  batch_size: whole(1, 1024),
  n_iter: whole(1, 1024),
  steps: whole(1, 10_000),
  cfg_scale: maybe(Type.Number({ minimum: -10_000, maximum: 10_000 })),
  width: whole(8, 65_536),
  height: whole(8, 65_536),
  eta: maybe(Type.Number({ minimum: 0, maximum: 1 })),
  denoising_strength: maybe(Type.Number({ minimum: 0, maximum: 1 })),
  override_settings: maybe(overrides),
  override_settings_restore_afterwards: anything(),
  send_images: maybe(Type.Boolean()),
  do_not_save_samples: anything(),
  do_not_save_grid: anything(),
  save_images: anything(),
  styles: anything(),
  subseed: anything(),
  subseed_strength: anything(),
  seed_resize_from_h: anything(),
  seed_resize_from_w: anything(),
  seed_enable_extras: anything(),
  restore_faces: anything(),
  tiling: anything(),
  s_churn: anything(),
  s_tmin: anything(),
  s_tmax: anything(),
  s_noise: anything(),
  s_min_uncond: anything(),
  refiner_checkpoint: anything(),
  refiner_switch_at: anything(),
  disable_extra_networks: anything(),
  firstpass_image: anything(),
  comments: anything(),
  script_name: anything(),
  script_args: anything(),
  alwayson_scripts: anything(),
  infotext: anything(),
  force_task_id: anything(),
};

export const txt2imgSchema = Type.Object(
  {
    ...shared,
    enable_hr: maybe(Type.Boolean()),
    firstphase_width: anything(),
    firstphase_height: anything(),
    hr_scale: maybe(Type.Number({ minimum: 1, maximum: 16 })),
    hr_upscaler: text(),
    hr_second_pass_steps: whole(0, 10_000),
    hr_resize_x: whole(0, 65_536),
    hr_resize_y: whole(0, 65_536),
    hr_additional_modules: anything(),
    hr_checkpoint_name: anything(),
    hr_sampler_name: anything(),
    hr_scheduler: anything(),
    hr_prompt: anything(),
    hr_negative_prompt: anything(),
  },
  { additionalProperties: false },
);
export type Txt2img = Static<typeof txt2imgSchema>;

export const img2imgSchema = Type.Object(
  {
    ...shared,
    init_images: Type.Array(Type.String(), { minItems: 1, maxItems: 1 }),
    mask: maybe(Type.String()),
    inpainting_mask_invert: maybe(Type.Union([Type.Integer({ minimum: 0, maximum: 1 }), Type.Boolean()])),
    inpaint_full_res: maybe(Type.Union([Type.Boolean(), Type.Integer({ minimum: 0, maximum: 1 })])),
    inpaint_full_res_padding: whole(0, 4096),
    resize_mode: anything(),
    image_cfg_scale: anything(),
    mask_blur: anything(),
    mask_blur_x: anything(),
    mask_blur_y: anything(),
    mask_round: anything(),
    inpainting_fill: anything(),
    initial_noise_multiplier: anything(),
    latent_mask: anything(),
    include_init_images: anything(),
  },
  { additionalProperties: false },
);
export type Img2img = Static<typeof img2imgSchema>;

export const resultSchema = Type.Object({
  images: Type.Array(Type.String({ description: 'PNG in base64' })),
  parameters: Type.Record(Type.String(), Type.Unknown()),
  info: Type.String({ description: 'JSON' }),
});

export const progressSchema = Type.Object({
  progress: Type.Number(),
  eta_relative: Type.Number(),
  state: Type.Object({
    skipped: Type.Boolean(),
    interrupted: Type.Boolean(),
    stopping_generation: Type.Boolean(),
    job: Type.String(),
    job_count: Type.Integer(),
    job_timestamp: Type.String(),
    job_no: Type.Integer(),
    sampling_step: Type.Integer(),
    sampling_steps: Type.Integer(),
  }),
  current_image: Type.Union([Type.String(), Type.Null()]),
  textinfo: Type.Union([Type.String(), Type.Null()]),
});

/** Those of its options that mean something here. */
export const optionsSchema = Type.Object(
  {
    sd_model_checkpoint: Type.Optional(Type.String({ maxLength: 256 })),
    CLIP_stop_at_last_layers: Type.Optional(Type.Integer({ minimum: 1, maximum: 12 })),
    randn_source: Type.Optional(Type.Enum(['GPU', 'CPU'])),
    // Clients send back all that they were given.
    samples_format: Type.Optional(Type.Literal('png')),
  },
  { additionalProperties: false },
);
export type WebuiOptions = Static<typeof optionsSchema>;

export const pngInfoSchema = Type.Object({ image: Type.String() }, { additionalProperties: false });

export const pngTextsSchema = Type.Object({
  info: Type.String(),
  items: Type.Record(Type.String(), Type.String()),
  parameters: Type.Object({}),
});

export const errorSchema = Type.Object({
  error: Type.String(),
  detail: Type.String(),
  body: Type.String(),
  errors: Type.String(),
});
