/** @file Answers in stable-diffusion-webui's form. */
import type { Static } from '@fastify/type-provider-typebox';
import { samplerOfScheduler } from 'calotype';
import type { DrawRequest, Picture } from '../../draw-request.ts';
import { version } from '../../version.ts';
import type { Problem } from '../status.ts';
import type { errorSchema, progressSchema, resultSchema, Txt2img } from './schemas.ts';
import type { WebuiProgress } from './sessions.ts';

/** The answer of a finished job; of an interrupted one, without pictures. */
export function resultOf(
  body: Txt2img,
  request: DrawRequest,
  pictures: readonly Picture[],
  notices: readonly string[],
): Static<typeof resultSchema> {
  const { prompt, negativePrompt = '', scheduler, clipSkip = 0, strength } = request;
  const seeds = request.seeds.map((seed) => (typeof seed === 'number' ? seed : seed.seed));
  const same = <T>(value: T): T[] => seeds.map(() => value);
  const [first] = pictures;
  const info = {
    prompt,
    all_prompts: same(prompt),
    negative_prompt: negativePrompt,
    all_negative_prompts: same(negativePrompt),
    seed: seeds[0],
    all_seeds: seeds,
    subseed: seeds[0],
    all_subseeds: seeds,
    subseed_strength: 0,
    width: first?.width ?? request.width,
    height: first?.height ?? request.height,
    sampler_name: scheduler === undefined ? null : (samplerOfScheduler(scheduler) ?? scheduler),
    cfg_scale: request.guidanceScale ?? null,
    steps: request.numInferenceSteps ?? null,
    batch_size: body.batch_size ?? 1,
    restore_faces: false,
    sd_model_name: request.model,
    sd_model_hash: null,
    denoising_strength: strength ?? null,
    extra_generation_params: {},
    index_of_first_image: 0,
    infotexts: pictures.map(({ parameters }) => parameters),
    styles: [],
    clip_skip: clipSkip + 1,
    is_using_inpainting_conditioning: false,
    version: `calotype ${version}`,
    notices,
  };
  const images =
    body.send_images === false ? [] : pictures.map(({ file }) => Buffer.from(file).toString('base64'));
  return { images, parameters: withoutPictures(body), info: JSON.stringify(info) };
}

/** It sends parameters back, but not the pictures among them. */
function withoutPictures(body: Txt2img): Record<string, unknown> {
  const { alwayson_scripts: _scripts, ...rest } = body;
  return { ...rest, ...('init_images' in body && { init_images: null, mask: null }) };
}

/** How far a caller's oldest job is. */
export function progressOf(jobs: ReadonlySet<WebuiProgress>): Static<typeof progressSchema> {
  const [job] = jobs;
  const { done = 0, total = 0 } = job?.step ?? {};
  const progress = total === 0 ? 0 : done / total;
  const seconds = job === undefined ? 0 : (Date.now() - job.begun) / 1000;
  return {
    progress,
    eta_relative: progress === 0 ? 0 : (seconds / progress) * (1 - progress),
    state: {
      skipped: false,
      interrupted: job?.signal.aborted ?? false,
      stopping_generation: false,
      job: job === undefined ? '' : 'Batch 1 out of 1',
      job_count: job === undefined ? 0 : 1,
      job_timestamp: new Date(job?.begun ?? 0).toISOString().replace(/\D/g, '').slice(0, 14),
      job_no: 0,
      sampling_step: done,
      sampling_steps: total,
    },
    current_image: job?.preview ? Buffer.from(job.preview).toString('base64') : null,
    textinfo: null,
  };
}

/** An error as it answers them. */
export function webuiError({ code, message }: Problem): Static<typeof errorSchema> {
  return { error: code, detail: message, body: '', errors: message };
}
