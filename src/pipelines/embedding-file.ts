/** @file Finds the textual inversion file behind a path, folder, Hub id, URL, Blob or ByteSource. */

import { FileFormatError, NotFoundError } from '../errors.ts';
import { blobSource, type ByteSource } from '../loaders/byte-source.ts';
import { CONVERT_REMEDY } from '../loaders/file-sniff.ts';
import { joinPath, type ModelSource } from '../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../loaders/safetensors.ts';
import type { Platform } from './from-pretrained.ts';
import { isWeightFile } from './vae-option.ts';

/** Where a textual inversion can be. */
export type EmbeddingSource = string | ModelSource | ByteSource | Blob;

/** Which file it is. */
export interface FindEmbeddingOptions {
  /** Name of the file in a folder or repository; default learned_embeds.safetensors. */
  readonly weightName?: string | undefined;
  /** Folder inside of the folder or repository. Default: none. */
  readonly subfolder?: string | undefined;
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The names that diffusers gives them. */
const USUAL_NAME = 'learned_embeds.safetensors';
const PICKLE_NAME = 'learned_embeds.bin';

/** The line that makes a safetensors file of a pickle, diffusers' (`.bin`) or sd-webui's (`.pt`). */
function conversion(pickle: string): string {
  const name = pickle.split('/').at(-1) ?? pickle;
  const target = name.replace(/\.[^.]*$/, '.safetensors');
  return (
    'Pickles can run any code when they are opened, so calotype never opens them. Convert it where you trust it: ' +
    `python -c "import torch; from safetensors.torch import save_file; d = torch.load('${name}', map_location='cpu', ` +
    "weights_only=True); save_file({'emb_params': d['string_to_param']['*'].data} if 'string_to_param' in d else " +
    `{k: v.contiguous() for k, v in d.items()}, '${target}')"`
  );
}

/**
 * Opens a textual inversion; the caller closes it.
 * @throws NotFoundError where there is none, FileFormatError for pickles, with the line that converts them
 */
export async function openEmbedding(
  platform: Platform,
  source: EmbeddingSource,
  options: FindEmbeddingOptions,
  onNotice: (notice: string) => void,
): Promise<SafetensorsFile> {
  const bytes = await openBytes(platform, source, options, onNotice);
  try {
    return await openSafetensors(bytes, options.signal);
  } catch (error) {
    await bytes.close?.();
    // Whole models have another way out of pickles.
    if (!(error instanceof FileFormatError) || error.remedy !== CONVERT_REMEDY) throw error;
    throw pickleError(bytes.name, error);
  }
}

function pickleError(file: string, cause?: unknown): FileFormatError {
  return new FileFormatError('is a Python pickle, not a safetensors file', {
    file,
    remedy: conversion(file),
    cause,
  });
}

async function openBytes(
  platform: Platform,
  source: EmbeddingSource,
  { weightName, subfolder = '', revision, signal }: FindEmbeddingOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  const resolving = { ...(revision !== undefined && { revision }), ...(signal && { signal }) };
  if (typeof source !== 'string' && 'read' in source) return source;
  if (source instanceof Blob)
    return blobSource('name' in source && typeof source.name === 'string' ? source.name : 'the file', source);
  if (typeof source === 'string' && isWeightFile(source))
    return platform.openFile(source, resolving, onNotice);
  const folder =
    typeof source === 'string' ? await platform.resolveModel(source, resolving, onNotice) : source;
  const path = joinPath(subfolder, weightName ?? USUAL_NAME);
  const file = await folder.open(path, signal);
  if (file) return file;
  const pickle = joinPath(subfolder, PICKLE_NAME);
  if (weightName === undefined && (await folder.exists(pickle, signal)))
    throw pickleError(joinPath(folder.name, pickle));
  throw new NotFoundError('there is no such file', {
    file: joinPath(folder.name, path),
    remedy: 'Name the file with weightName, or give its own path',
  });
}
