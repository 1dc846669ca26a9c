/** @file `/v1/images/generations`, and what edits share with it: requests read, pictures answered or streamed. */
import { randomInt } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DrawRequest, DrawResult, DrawStep, Picture } from '../../draw-request.ts';
import { findModel, type NamedSource } from '../../models.ts';
import { clientSignal, EventStream } from '../client.ts';
import type { Desk } from '../desk.ts';
import { problemOf } from '../status.ts';
import { openaiError } from './errors.ts';
import type { Generation } from './schemas.ts';

/** OpenAI's default of `partial_images` when streaming. */
const PARTIAL_IMAGES = 0;
/** Seeds that are short enough to be typed again. */
const SEEDS = 2 ** 32;

/** The job that a body asks for. Throws NotFoundError for a model that is not served. */
export function readGeneration(body: Generation, models: readonly NamedSource[]): DrawRequest {
  const {
    n = 1,
    size = 'auto',
    stream = false,
    partial_images = PARTIAL_IMAGES,
    negative_prompt,
    steps,
  } = body;
  const { seed = randomInt(SEEDS), guidance_scale, scheduler } = body;
  const [width, height] = size === 'auto' ? [] : size.split('x').map(Number);
  return {
    model: findModel(models, body.model).name,
    prompt: body.prompt,
    promptSyntax: 'plain',
    seeds: Array.from({ length: n }, (_, i) => seed + i),
    previews: stream ? partial_images : 0,
    ...(width !== undefined && { width, height }),
    ...(negative_prompt !== undefined && { negativePrompt: negative_prompt }),
    ...(steps !== undefined && { numInferenceSteps: steps }),
    ...(guidance_scale !== undefined && { guidanceScale: guidance_scale }),
    ...(scheduler !== undefined && { scheduler }),
  };
}

/** Draws, and answers with the pictures or with events. */
export async function answer(
  desk: Desk,
  job: DrawRequest,
  stream: boolean,
  kind: 'image_generation' | 'image_edit',
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { caller, log } = request;
  const { 'idempotency-key': key } = request.headers;
  const idempotencyKey = Array.isArray(key) ? key[0] : key;
  const errand = { caller, log, idempotencyKey, signal: clientSignal(reply) };
  if (!stream) return reply.send(imagesOf(await desk.draw(job, errand)));
  const events = new EventStream(reply);
  let count = 0;
  const onStep = ({ previews }: DrawStep): void => {
    if (previews.length === 0) return;
    const type = `${kind}.partial_image`;
    const index = { partial_image_index: count++ };
    for (const png of previews) events.send(type, { type, ...index, ...described(png, job) });
  };
  try {
    const { pictures } = await desk.draw(job, { ...errand, onStep });
    const type = `${kind}.completed`;
    for (const { png, seed, ...size } of pictures)
      events.send(type, { type, seed, ...described(png, size), usage: NO_USAGE });
  } catch (error) {
    if (!events.begun) throw error;
    const problem = problemOf(error);
    if (problem.status >= 500) log.error(error);
    events.send('error', openaiError(problem));
  }
  events.end();
  return reply;
}

/** Clients expect it; nothing is counted in tokens here. */
const NO_USAGE = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
};

function described(png: Uint8Array, { width, height }: Partial<Pick<Picture, 'width' | 'height'>>): object {
  return {
    b64_json: Buffer.from(png).toString('base64'),
    created_at: now(),
    background: 'opaque',
    output_format: 'png',
    quality: 'auto',
    size: width === undefined ? 'auto' : `${width}x${height}`,
  };
}

function imagesOf({ pictures }: DrawResult): object {
  const [{ width, height }] = pictures;
  return {
    created: now(),
    data: pictures.map(({ png, seed }) => ({ b64_json: Buffer.from(png).toString('base64'), seed })),
    background: 'opaque',
    output_format: 'png',
    size: `${width}x${height}`,
  };
}

/** Unix time in seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
