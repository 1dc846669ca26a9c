/**
 * @file Fields that stable-diffusion-webui's clients send though nothing here answers to them. Most send all fields of
 * their version at the values that ask for nothing: those are taken. Others are errors, or, where the picture is still
 * the one that was meant, notices.
 */
import { isControlNet } from './controlnet.ts';
import { is, type IsNeutral, isOff, refuseUnlessNeutral } from './neutral.ts';

const isAtMostZero: IsNeutral = (value) => isOff(value) || (typeof value === 'number' && value <= 0);
/** Scripts that clients pass along switched off: `{ ADetailer: { args: [false] } }`. */
function areScriptsOff(value: unknown): boolean {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  return Object.entries(value).every(([name, script]: [string, unknown]) => {
    if (isControlNet(name)) return true;
    const args: unknown =
      typeof script === 'object' && script !== null && 'args' in script ? script.args : script;
    return isOff(args) || (Array.isArray(args) && args.every(isOff));
  });
}

/** Values that ask for nothing, by field; what else is asked for is refused. */
const NEUTRAL: Readonly<Record<string, IsNeutral>> = {
  alwayson_scripts: areScriptsOff,
  disable_extra_networks: isOff,
  firstpass_image: isOff,
  include_init_images: isOff,
  initial_noise_multiplier: is(1),
  latent_mask: isOff,
  refiner_checkpoint: isOff,
  resize_mode: isOff,
  restore_faces: isOff,
  s_churn: isOff,
  s_noise: is(1),
  s_min_uncond: isOff,
  save_images: isOff,
  script_name: isOff,
  seed_resize_from_h: isAtMostZero,
  seed_resize_from_w: isAtMostZero,
  styles: isOff,
  subseed_strength: isOff,
  tiling: isOff,
};

/** The same of `override_settings`. */
const NEUTRAL_SETTINGS: Readonly<Record<string, IsNeutral>> = {
  sd_vae: is('', 'Automatic', 'None'),
  eta_noise_seed_delta: isOff,
  filter_nsfw: isOff,
};

/** Values at which a field changes nothing; others are told in the answer's notices. */
const NOTED: Readonly<Record<string, IsNeutral>> = {
  inpainting_fill: is(1),
  mask_blur: isOff,
  mask_blur_x: isOff,
  mask_blur_y: isOff,
};

/**
 * What of a request has no effect, for the answer's notices.
 * @throws OptionError for a field that asks for what there is not
 */
export function readUnsupported(body: Readonly<Record<string, unknown>>, hasMask: boolean): string[] {
  refuseUnlessNeutral(body, NEUTRAL);
  const { override_settings } = body;
  if (typeof override_settings === 'object' && override_settings !== null)
    refuseUnlessNeutral({ ...override_settings }, NEUTRAL_SETTINGS, 'override_settings');
  if (!hasMask) return [];
  return Object.entries(body).flatMap(([field, value]) => {
    const neutral = Object.hasOwn(NOTED, field) ? NOTED[field] : undefined;
    return neutral && !neutral(value) ? [`${field} has no effect here`] : [];
  });
}
