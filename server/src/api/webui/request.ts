/** @file A request of stable-diffusion-webui's API as a job. */
import { randomInt } from 'node:crypto';
import { OptionError, schedulerOfSampler, type Seed } from 'calotype';
import type { DrawRequest } from '../../draw-request.ts';
import { findModel, type NamedSource } from '../../models.ts';
import type { Additions } from '../additions.ts';
import { readBase64 } from '../base64.ts';
import { withoutHash } from './fields.ts';
import { readUnits } from './controlnet.ts';
import { readHires } from './hires.ts';
import type { Img2img, Txt2img, WebuiOptions } from './schemas.ts';
import { readUnsupported } from './unsupported.ts';

/** A job, and what of the request has no effect. */
export interface WebuiJob {
  readonly request: DrawRequest;
  readonly notices: readonly string[];
}

/** webui's largest seed that it draws itself. */
const SEEDS = 2 ** 32;
/** Previews of a job, for those who ask for its progress. */
const PREVIEWS = 10;
/** Samplers whose `eta` is only known at 1. */
const ANCESTRAL = /-ancestral|-sde/;

/**
 * The job of a text or of a picture.
 * @param options what the client set for all its requests
 * @throws OptionError for what there is not; NotFoundError for a model that is not served
 */
export function readJob(
  body: Txt2img | Img2img,
  options: WebuiOptions,
  models: readonly NamedSource[],
  additions: Additions,
): WebuiJob {
  const picture: Partial<ReturnType<typeof readPicture>> = 'init_images' in body ? readPicture(body) : {};
  const notices = readUnsupported(body, 'mask' in picture);
  const settings = { ...options, ...withoutNulls(body.override_settings ?? {}) };
  const { sd_model_checkpoint, CLIP_stop_at_last_layers = 1, randn_source = 'GPU' } = settings;
  const { prompt, negative_prompt, seed, batch_size, n_iter, steps, cfg_scale, width, height } =
    withoutNulls(body);
  const first = seed === undefined || seed < 0 ? randomInt(SEEDS) : seed;
  const seedAt = (i: number): Seed =>
    randn_source === 'GPU' ? { seed: first + i, device: 'cuda' } : first + i;
  const model = findModel(models, withoutHash(sd_model_checkpoint)).name;
  const size = width === undefined || height === undefined ? undefined : { width, height };
  const request: DrawRequest = {
    model,
    prompt: prompt ?? '',
    negativePrompt: negative_prompt ?? '',
    promptSyntax: 'webui',
    seeds: Array.from({ length: (batch_size ?? 1) * (n_iter ?? 1) }, (_, i) => seedAt(i)),
    previews: PREVIEWS,
    ...(steps !== undefined && { numInferenceSteps: steps }),
    ...(cfg_scale !== undefined && { guidanceScale: cfg_scale }),
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    // It counts layers from 1, the last.
    ...(CLIP_stop_at_last_layers > 1 && { clipSkip: CLIP_stop_at_last_layers - 1 }),
    ...readSampler(body),
    ...picture,
    ...('init_images' in body ? {} : readHires(body)),
    ...readUnits(body.alwayson_scripts, { model, additions, image: picture.image, size }),
  };
  return { request, notices };
}

function readSampler(body: Txt2img | Img2img): Pick<DrawRequest, 'scheduler' | 'eta'> {
  const { sampler_name, sampler_index, scheduler: type, eta } = withoutNulls(body);
  const sampler = sampler_name ?? sampler_index;
  if (sampler === undefined) return {};
  const scheduler = schedulerOfSampler(sampler, type ?? 'Automatic', 'sampler_name');
  if (ANCESTRAL.test(scheduler) && eta !== undefined && eta !== 1)
    throw new OptionError(`${eta} is not supported for ${sampler}`, { field: 'eta', remedy: 'Leave it out' });
  return { scheduler, ...(scheduler === 'ddim' && eta !== undefined && { eta }) };
}

function readPicture(body: Img2img): Pick<DrawRequest, 'image' | 'mask' | 'strength' | 'paddingMaskCrop'> {
  const { init_images, mask, inpainting_mask_invert, inpaint_full_res } = withoutNulls(body);
  const { denoising_strength = 0.75, inpaint_full_res_padding = 0 } = withoutNulls(body);
  const image = readBase64('init_images', init_images[0]);
  if (mask === undefined) return { image, strength: denoising_strength };
  const paint = inpainting_mask_invert ? ('black' as const) : ('white' as const);
  return {
    image,
    strength: denoising_strength,
    mask: { png: readBase64('mask', mask), paint },
    ...(Boolean(inpaint_full_res) && { paddingMaskCrop: inpaint_full_res_padding }),
  };
}

type NonNull<T> = { [K in keyof T]: Exclude<T[K], null> };

/** Python's clients write null for what they leave out. */
function withoutNulls<T extends object>(body: T): NonNull<T> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)) as NonNull<T>;
}
