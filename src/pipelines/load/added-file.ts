/**
 * @file Files that are loaded beside a model (LoRAs, textual inversions), found behind a path, folder, Hub id, URL, Blob or
 * ByteSource.
 */
import { FileFormatError } from '../../errors.ts';
import { blobSource, type ByteSource } from '../../loaders/byte-source.ts';
import { CONVERT_REMEDY } from '../../loaders/file-sniff.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../../loaders/safetensors.ts';
import type { Platform } from './from-pretrained.ts';
import { checkSource } from './check-load-options.ts';
import { isWeightFile } from './weight-file-name.ts';

/** Where such a file can be. */
export type AddedFileSource = string | ModelSource | ByteSource | Blob;

/** Which file it is. */
export interface FindFileOptions {
  /** Name of the file in a folder or repository; default: the usual one. */
  readonly weightName?: string | undefined;
  /** Folder inside of the folder or repository. Default: none. */
  readonly subfolder?: string | undefined;
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string | undefined;
  /** Stops loading. */
  readonly signal?: AbortSignal | undefined;
}

/** A kind of such files. */
export interface AddedFileKind {
  /** What a Blob without a name is called. */
  readonly what: string;
  /** How a pickle of this kind is made a safetensors file. */
  conversion(pickle: string): string;
  /** Opens the one in a folder. Throws NotFoundError, and FileFormatError where there are only pickles. */
  openFrom(
    folder: ModelSource,
    options: FindFileOptions,
    onNotice: (notice: string) => void,
  ): Promise<ByteSource>;
}

/**
 * Opens a file; the caller closes it.
 * @throws NotFoundError where there is none, FileFormatError for pickles, with what converts them, and other formats
 */
export async function openAddedFile(
  platform: Platform,
  kind: AddedFileKind,
  source: AddedFileSource,
  options: FindFileOptions,
  onNotice: (notice: string) => void,
): Promise<SafetensorsFile> {
  const bytes = await openBytes(platform, kind, source, options, onNotice);
  try {
    return await openSafetensors(bytes, options.signal);
  } catch (error) {
    await bytes.close?.();
    // Whole models have another way out of pickles.
    if (!(error instanceof FileFormatError) || error.remedy !== CONVERT_REMEDY) throw error;
    throw pickleError(kind, bytes.name, error);
  }
}

/** The error for a file that is a pickle. */
export function pickleError(kind: AddedFileKind, file: string, cause?: unknown): FileFormatError {
  return new FileFormatError('is a Python pickle, not a safetensors file', {
    file,
    remedy: kind.conversion(file),
    cause,
  });
}

async function openBytes(
  platform: Platform,
  kind: AddedFileKind,
  source: AddedFileSource,
  options: FindFileOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  checkSource(
    source,
    ['open', 'read', 'arrayBuffer'],
    'Give a file, folder, Hub id or URL, or a ModelSource, ByteSource or Blob',
  );
  const { revision, signal } = options;
  const resolving = { ...(revision !== undefined && { revision }), ...(signal && { signal }) };
  if (typeof source === 'string') {
    if (isWeightFile(source)) return platform.openFile(source, resolving, onNotice);
    return kind.openFrom(await platform.resolveModel(source, resolving, onNotice), options, onNotice);
  }
  if ('open' in source) return kind.openFrom(source, options, onNotice);
  return bytesOf(source, kind.what);
}

/** Bytes that were given as such, or as a Blob; one without a name is called `what`. */
export function bytesOf(source: ByteSource | Blob, what: string): ByteSource {
  if ('read' in source) return source;
  return blobSource('name' in source && typeof source.name === 'string' ? source.name : what, source);
}
