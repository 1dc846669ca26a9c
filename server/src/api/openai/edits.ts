/** @file `/v1/images/edits`: a form with a picture, and a mask whose transparent part is to be painted. */
import { OptionError } from 'calotype';
import type { FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import type { DrawRequest } from '../../draw-request.ts';
import { TooLargeError } from '../../errors.ts';
import type { NamedSource } from '../../models.ts';
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
const FIELDS = Compile(editFieldsSchema);
const FILES = new Set(['image', 'mask']);

/** A form's fields and files, checked. */
export type EditForm = EditFields & { readonly image: Uint8Array; readonly mask?: Uint8Array };

/**
 * Reads a form.
 * @throws OptionError for fields that are unknown, given twice or of the wrong kind, TooLargeError for files over the limit
 */
export async function readForm(request: FastifyRequest): Promise<EditForm> {
  if (!request.isMultipart())
    throw new OptionError('the body is no form', {
      field: 'content-type',
      remedy: 'Send multipart/form-data',
    });
  const fields: Record<string, unknown> = {};
  const files = new Map<string, Uint8Array>();
  for await (const part of request.parts()) {
    // Clients write lists of files as image[].
    const name = part.fieldname.replace(/\[\]$/, '');
    if (Object.hasOwn(fields, name) || files.has(name))
      throw new OptionError('is there twice', { field: name, remedy: 'Send one' });
    if (part.type === 'field') fields[name] = readField(name, part.value);
    else if (FILES.has(name)) files.set(name, await part.toBuffer().catch(refuseLarge(name)));
    else throw new OptionError('is no file of an edit', { field: name, remedy: 'Send image and mask' });
  }
  const image = files.get('image');
  if (image === undefined) throw new OptionError('is missing', { field: 'image', remedy: 'Send a PNG file' });
  const mask = files.get('mask');
  if (!FIELDS.Check(fields)) {
    const [error] = FIELDS.Errors(fields);
    const [unknown] = error.keyword === 'additionalProperties' ? error.params.additionalProperties : [];
    const [missing] = error.keyword === 'required' ? error.params.requiredProperties : [];
    throw new OptionError(unknown === undefined ? error.message : 'is no field of an edit', {
      field: unknown ?? missing ?? error.instancePath.slice(1),
      remedy: 'See /openapi.json',
    });
  }
  return { ...fields, image, ...(mask && { mask }) };
}

/** The job that a form asks for. */
export function readEdit(
  { image, mask, strength, ...fields }: EditForm,
  models: readonly NamedSource[],
): DrawRequest {
  return {
    ...readGeneration(fields, models),
    image,
    ...(mask && { mask: { png: mask, paint: 'transparent' as const } }),
    ...(strength !== undefined && { strength }),
  };
}

function readField(name: string, value: unknown): unknown {
  if (name === 'stream' && (value === 'true' || value === 'false')) return value === 'true';
  return NUMBERS.has(name) && typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
}

function refuseLarge(field: string): (cause: unknown) => never {
  return (cause) => {
    throw new TooLargeError('the file is too large', { field, remedy: 'Send a smaller one', cause });
  };
}
