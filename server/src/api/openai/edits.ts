/** @file `/v1/images/edits`: a form with a picture, and a mask whose transparent part is to be painted. */
import { OptionError } from 'calotype';
import type { MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import type { DrawRequest } from '../../draw-request.ts';
import { TooLargeError } from '../../errors.ts';
import type { Limits } from '../../limits/limits.ts';
import type { NamedSource } from '../../models.ts';
import type { Additions } from '../additions.ts';
import { schemaError } from '../schema-error.ts';
import { readGeneration } from './generations.ts';
import { type EditFields, editFieldsSchema } from './schemas.ts';

/** Fields that are numbers once they are read; forms hold texts. */
const NUMBERS = new Set([
  'n',
  'partial_images',
  'output_compression',
  'seed',
  'steps',
  'guidance_scale',
  'strength',
]);
const FLAGS = new Set(['stream', 'guess_mode']);
/** Fields that are JSON. */
const LISTS = new Set(['controlnet', 'ip_adapter']);
const FIELDS = Compile(editFieldsSchema);
const FILES = new Set(['image', 'mask']);

/** A form's fields and files, checked. */
export type EditForm = EditFields & { readonly image: Uint8Array; readonly mask?: Uint8Array };

/**
 * Reads a form.
 * @throws OptionError for fields that are unknown, given twice or of the wrong kind, TooLargeError for files over the limit
 */
export async function readForm(request: FastifyRequest, { bodyBytes }: Limits): Promise<EditForm> {
  if (!request.isMultipart())
    throw new OptionError('the body is no form', {
      field: 'content-type',
      remedy: 'Send multipart/form-data',
    });
  const fields: Record<string, unknown> = {};
  const files = new Map<string, Uint8Array>();
  let left = bodyBytes;
  for await (const part of request.parts()) {
    // Clients write lists of files as image[].
    const name = part.fieldname.replace(/\[\]$/, '');
    if (Object.hasOwn(fields, name) || files.has(name))
      throw new OptionError('is there twice', {
        field: name,
        remedy: FILES.has(name)
          ? 'Send one picture: edits of several at a time are not supported'
          : 'Send one',
      });
    if (part.type === 'field') {
      // Fields are in memory when they are seen; one is as large as a whole body at most.
      left -= typeof part.value === 'string' ? part.value.length : 0;
      if (left < 0 || part.valueTruncated) throw tooLarge(name);
      fields[name] = readField(name, part.value);
    } else if (FILES.has(name)) files.set(name, await readFile(name, part));
    else throw new OptionError('is no file of an edit', { field: name, remedy: 'Send image and mask' });
  }
  const image = files.get('image');
  if (image === undefined) throw new OptionError('is missing', { field: 'image', remedy: 'Send a PNG file' });
  const mask = files.get('mask');
  if (!FIELDS.Check(fields)) throw schemaError(FIELDS.Errors(fields), 'an edit');
  return { ...fields, image, ...(mask && { mask }) };
}

/** The job that a form asks for. */
export function readEdit(
  { image, mask, strength, ...fields }: EditForm,
  models: readonly NamedSource[],
  additions: Additions,
): DrawRequest {
  return {
    ...readGeneration(fields, models, additions),
    image,
    ...(mask && { mask: { png: mask, paint: 'transparent' as const } }),
    ...(strength !== undefined && { strength }),
  };
}

function readField(name: string, value: unknown): unknown {
  if (FLAGS.has(name) && (value === 'true' || value === 'false')) return value === 'true';
  if (LISTS.has(name) && typeof value === 'string') return readJson(name, value);
  return NUMBERS.has(name) && typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
}

function readJson(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OptionError('is not JSON', { field, remedy: 'See /openapi.json', cause });
  }
}

async function readFile(name: string, part: MultipartFile): Promise<Uint8Array> {
  try {
    return await part.toBuffer();
  } catch (cause) {
    throw tooLarge(name, cause);
  }
}

function tooLarge(field: string, cause?: unknown): TooLargeError {
  return new TooLargeError('it is too large', { field, remedy: 'Send a smaller one', cause });
}
