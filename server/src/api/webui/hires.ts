/** @file stable-diffusion-webui's hires fix (its modules/processing.py): fields `hr_...` as a second pass. */
import { type HiresOptions, type HiresUpscaler, OptionError } from 'calotype';
import { is, isOff, refuseUnlessNeutral } from './neutral.ts';
import type { DrawRequest } from '../../draw-request.ts';
import type { Txt2img } from './schemas.ts';

/** Its names of what latents, or with the last the picture, are enlarged by. */
const UPSCALERS: ReadonlyMap<string, HiresUpscaler> = new Map([
  ['Latent', 'latent'],
  ['Latent (antialiased)', 'latent-antialiased'],
  ['Latent (bicubic)', 'latent-bicubic'],
  ['Latent (bicubic antialiased)', 'latent-bicubic-antialiased'],
  ['Latent (nearest)', 'latent-nearest'],
  ['Latent (nearest-exact)', 'latent-nearest-exact'],
  ['Lanczos', 'lanczos'],
]);
export const LATENT_UPSCALERS = [...UPSCALERS.keys()].filter((name) => name !== 'Lanczos');

/** What there is not, at the values that ask for nothing. */
const NEUTRAL = {
  hr_additional_modules: isOff,
  hr_checkpoint_name: is('', 'Use same checkpoint'),
  hr_sampler_name: is('', 'Use same sampler'),
  hr_scheduler: is('', 'Use same scheduler'),
  hr_prompt: isOff,
  hr_negative_prompt: isOff,
  firstphase_width: isOff,
  firstphase_height: isOff,
};
/** Its defaults. */
const SCALE = 2;
const STRENGTH = 0.75;
const STEPS = 50;

/** The second pass, if there is to be one. Throws OptionError for what there is not. */
export function readHires(body: Txt2img): Pick<DrawRequest, 'hires' | 'webuiSettings'> {
  if (body.enable_hr !== true) return {};
  refuseUnlessNeutral(body, NEUTRAL);
  const { width, height } = body;
  if (typeof width !== 'number' || typeof height !== 'number')
    throw new OptionError('there is no width and height to enlarge', {
      field: 'enable_hr',
      remedy: 'Send width and height with it',
    });
  const name = body.hr_upscaler ?? LATENT_UPSCALERS[0];
  const upscaler = UPSCALERS.get(name);
  if (upscaler === undefined)
    throw new OptionError(`there is no upscaler '${name}'`, {
      field: 'hr_upscaler',
      remedy: `Use ${[...UPSCALERS.keys()].join(', ')}`,
    });
  const second = body.hr_second_pass_steps ?? 0;
  const steps = second > 0 ? second : (body.steps ?? STEPS);
  const strength = Math.min(body.denoising_strength ?? STRENGTH, 0.999);
  if (strength === 0)
    throw new OptionError('nothing would be drawn over', {
      field: 'denoising_strength',
      remedy: 'Send more than 0 with enable_hr',
    });
  // Its steps are those that are run, of a schedule that is as much longer.
  const whole = Math.floor(steps / strength);
  const size = readSize(body, width, height);
  return {
    webuiSettings: {
      'Denoising strength': body.denoising_strength ?? STRENGTH,
      ...(size.scale === undefined
        ? { 'Hires resize': `${size.width}x${size.height}` }
        : { 'Hires upscale': size.scale }),
      ...(second > 0 && { 'Hires steps': second }),
      'Hires upscaler': name,
    },
    hires: {
      ...size,
      upscaler,
      numInferenceSteps: whole,
      strength: Math.min(1, (steps + 0.5) / whole),
    },
  };
}

/** With one side the other follows; with both, the picture has to have their proportions: nothing is cropped here. */
function readSize(
  { hr_scale, hr_resize_x, hr_resize_y }: Txt2img,
  width: number,
  height: number,
): Pick<HiresOptions, 'scale' | 'width' | 'height'> {
  const [x, y] = [hr_resize_x ?? 0, hr_resize_y ?? 0];
  if (x === 0 && y === 0) return { scale: hr_scale ?? SCALE };
  if (x > 0 && y > 0 && x * height !== y * width)
    throw new OptionError(`${x}x${y} has other proportions than ${width}x${height}`, {
      field: 'hr_resize_x',
      remedy: 'Send a size of the same proportions, or one side of it',
    });
  return x > 0
    ? { width: x, height: Math.floor((x * height) / width) }
    : { width: Math.floor((y * width) / height), height: y };
}
