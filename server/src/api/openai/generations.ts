/** @file `/v1/images/generations`, and what edits share with it: requests read, pictures answered or streamed. */
import { randomInt } from 'node:crypto';
import { OptionError } from 'calotype';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DrawRequest, DrawResult, DrawStep, OutputFormat, Picture } from '../../draw-request.ts';
import { findModel, type NamedSource } from '../../models.ts';
import { serverTiming } from '../../phases.ts';
import { answered, clientSignal, EventStream } from '../client.ts';
import { type AddedRequest, type Additions, readAdded } from '../additions.ts';
import { readBase64 } from '../base64.ts';
import type { Desk } from '../desk.ts';
import type { PictureLinks } from '../links.ts';
import { problemOf } from '../status.ts';
import { openaiError } from './errors.ts';
import type { Generation } from './schemas.ts';

/** OpenAI's default of `partial_images` when streaming. */
const PARTIAL_IMAGES = 0;
/** OpenAI's default of `output_compression`. */
const QUALITY = 100;
/** Seeds that are short enough to be typed again. */
const SEEDS = 2 ** 32;

/** The job that a body asks for. Throws NotFoundError for a model that is not served, OptionError for what there is not. */
export function readGeneration(
  body: Generation,
  models: readonly NamedSource[],
  additions: Additions,
): DrawRequest {
  const {
    n = 1,
    size = 'auto',
    stream = false,
    partial_images = PARTIAL_IMAGES,
    negative_prompt,
    steps,
  } = body;
  const { seed = randomInt(SEEDS), guidance_scale, scheduler, output_format, output_compression } = body;
  if (output_compression !== undefined && (output_format ?? 'png') === 'png' && output_compression !== 100)
    throw new OptionError('PNG files lose nothing', {
      field: 'output_compression',
      remedy: 'Leave it out, or ask for the output_format jpeg or webp',
    });
  const [width, height] = size === 'auto' ? [] : size.split('x').map(Number);
  const model = findModel(models, body.model).name;
  return {
    model,
    prompt: body.prompt,
    promptSyntax: 'plain',
    seeds: Array.from({ length: n }, (_, i) => seed + i),
    previews: stream ? partial_images : 0,
    ...(width !== undefined && { width, height }),
    ...(negative_prompt !== undefined && { negativePrompt: negative_prompt }),
    ...(steps !== undefined && { numInferenceSteps: steps }),
    ...(guidance_scale !== undefined && { guidanceScale: guidance_scale }),
    ...(scheduler !== undefined && { scheduler }),
    ...(output_format !== undefined && {
      output: { format: output_format, quality: output_compression ?? QUALITY },
    }),
    ...readAdded(addedOf(body), model, additions, { control: 'controlnet', prompt: 'ip_adapter' }),
  };
}

/** Fields that are taken though nothing here answers to them, with the values that ask for nothing. */
const WITHOUT_EFFECT: Readonly<Record<string, readonly unknown[]>> = {
  quality: ['auto', 'standard'],
  style: [],
  input_fidelity: ['low'],
};

function noticesOf(body: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(WITHOUT_EFFECT).flatMap(([field, neutral]) =>
    body[field] === undefined || neutral.includes(body[field]) ? [] : [`${field} has no effect here`],
  );
}

function addedOf({ controlnet = [], guess_mode = false, ip_adapter = [] }: Generation): AddedRequest {
  const named = (field: string, { name, image, scale = 1 }: (typeof ip_adapter)[number]) => ({
    name,
    image: readBase64(field, image),
    scale,
  });
  return {
    controls: controlnet.map(({ start = 0, end = 1, ...net }) => ({
      ...named('controlnet', net),
      start,
      end,
    })),
    guessMode: guess_mode,
    imagePrompts: ip_adapter.map((adapter) => named('ip_adapter', adapter)),
  };
}

/** Draws, and answers with the pictures or with events. */
export async function answer(
  desk: Desk,
  job: DrawRequest,
  body: Generation,
  links: PictureLinks | undefined,
  kind: 'image_generation' | 'image_edit',
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { stream = false, response_format } = body;
  const { caller, log } = request;
  const origin = `${request.protocol}://${request.host}`;
  const share = readShare(response_format, stream, links, origin);
  const { 'idempotency-key': key } = request.headers;
  const idempotencyKey = Array.isArray(key) ? key[0] : key;
  const errand = { caller, log, idempotencyKey, signal: clientSignal(reply), answered: answered(reply) };
  if (!stream) {
    const drawn = await desk.draw(job, errand);
    return reply
      .header('server-timing', serverTiming(drawn.phases))
      .send(await imagesOf(drawn, [...noticesOf(body), ...drawn.notices], share));
  }
  const events = new EventStream(reply);
  let count = 0;
  const onStep = ({ previews }: DrawStep): void => {
    if (previews.length === 0) return;
    const type = `${kind}.partial_image`;
    const index = { partial_image_index: count++ };
    for (const png of previews) events.send(type, { type, ...index, ...described(png, 'png', job) });
  };
  try {
    const { pictures, notices } = await desk.draw(job, { ...errand, onStep });
    const type = `${kind}.completed`;
    const told = tellNotices([...noticesOf(body), ...notices]);
    for (const { file, format, seed, ...size } of pictures)
      events.send(type, { type, seed, ...described(file, format, size), usage: NO_USAGE, ...told });
  } catch (error) {
    if (!events.begun) throw error;
    const problem = problemOf(error);
    if (problem.status >= 500) log.error(error);
    events.send('error', openaiError(problem));
  }
  events.end();
  return reply;
}

/** How pictures get an address, if that is what is asked for. Throws OptionError where there is no place for them. */
function readShare(
  wanted: Generation['response_format'],
  stream: boolean,
  links: PictureLinks | undefined,
  origin: string,
): ((picture: Picture) => Promise<string>) | undefined {
  if (wanted !== 'url') return undefined;
  const field = 'response_format';
  if (stream) throw new OptionError('events carry pictures themselves', { field, remedy: 'Leave it out' });
  if (!links)
    throw new OptionError('this server keeps no pictures', {
      field,
      remedy: 'Ask for b64_json, or start the server with --storage',
    });
  return (picture) => links.share(picture, origin);
}

/** Clients expect it; nothing is counted in tokens here. */
const NO_USAGE = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
};

function described(
  file: Uint8Array,
  format: OutputFormat,
  { width, height }: Partial<Pick<Picture, 'width' | 'height'>>,
): object {
  return {
    b64_json: Buffer.from(file).toString('base64'),
    created_at: now(),
    background: 'opaque',
    output_format: format,
    quality: 'auto',
    size: width === undefined ? 'auto' : `${width}x${height}`,
  };
}

/**
 * The answer to a request that is not streamed.
 * @param share where pictures are put for those who want addresses
 */
async function imagesOf(
  { pictures }: DrawResult,
  notices: readonly string[],
  share: ((picture: Picture) => Promise<string>) | undefined,
): Promise<object> {
  const [{ width, height, format }] = pictures;
  const data = pictures.map(async (picture) => ({
    ...(share ? { url: await share(picture) } : { b64_json: Buffer.from(picture.file).toString('base64') }),
    seed: picture.seed,
  }));
  return {
    created: now(),
    data: await Promise.all(data),
    background: 'opaque',
    output_format: format,
    size: `${width}x${height}`,
    ...tellNotices(notices),
  };
}

function tellNotices(notices: readonly string[]): { readonly notices?: readonly string[] } {
  return notices.length > 0 ? { notices } : {};
}

/** Unix time in seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
