/**
 * @file ModelSource: the files of one model, wherever they lie, by their paths inside the model folder.
 */
import { NotFoundError } from '../errors.ts';
import { blobSource, type ByteSource, readUtf8 } from './byte-source.ts';
import type { HttpClient } from './http.ts';
import { refused, retrying, send } from './http.ts';
import { openHttpSource } from './http-source.ts';
import { parseConfigJson } from './json.ts';
import type { WeightSource } from './weight-source.ts';

/** The files of one model. Paths are relative, with `/` between folders. */
export interface ModelSource {
  /** Folder, URL or repository, for messages. */
  readonly name: string;
  /** Opens a file; undefined if it is not there. The caller closes it. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Whether a file is there, without getting it. */
  exists(path: string, signal?: AbortSignal): Promise<boolean>;
  /** Names of the files that lie directly in a folder ('' is the model's own); undefined if that cannot be known. */
  list(folder: string, signal?: AbortSignal): Promise<readonly string[] | undefined>;
  /**
   * The weights of the component of this name, where they lie otherwise than in files in its folder (single-file
   * checkpoints); undefined for components that do have files. The caller closes them.
   */
  weights?(component: string, signal?: AbortSignal): Promise<WeightSource | undefined>;
}

/** Text files over this size are refused; the largest real ones (tokenizers) have some 20 MB. */
const MAX_TEXT_BYTES = 128 << 20;

/** Joins a folder and a file name; the folder may be ''. */
export function joinPath(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Whether a path stays inside its folder on every system: relative, no `..`, no backslash, no drive, no NUL. */
export function isPlainPath(path: string): boolean {
  return path
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\:\0]/.test(part));
}

/** Throws NotFoundError for a path that could lead out of the model's folder. */
export function checkPath(source: string, path: string): void {
  if (!isPlainPath(path))
    throw new NotFoundError('is no path inside the model', {
      file: source,
      field: path,
      remedy: 'Use a relative path with "/" between folders, without ".." and without a drive',
    });
}

/** Opens a file that must be there. Throws NotFoundError otherwise. */
export async function openRequired(
  source: ModelSource,
  path: string,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const file = await source.open(path, signal);
  if (file !== undefined) return file;
  const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
  const files = await source.list(folder, signal);
  const there =
    files === undefined ? '' : `; there ${files.length === 0 ? 'is nothing' : `are ${files.join(', ')}`}`;
  throw new NotFoundError(`there is no such file${there}`, {
    file: source.name,
    field: path,
    remedy:
      'Check that the model is complete and in the diffusers layout, and that its name and revision are right',
  });
}

/** A text file, as UTF-8. Throws NotFoundError if it is not there. */
export async function readText(source: ModelSource, path: string, signal?: AbortSignal): Promise<string> {
  const file = await openRequired(source, path, signal);
  try {
    return await readUtf8(file, MAX_TEXT_BYTES, signal);
  } finally {
    await file.close?.();
  }
}

/** A JSON file; Python's NaN and Infinity are understood. Throws NotFoundError, or FileFormatError if broken. */
export async function readJson(source: ModelSource, path: string, signal?: AbortSignal): Promise<unknown> {
  return parseConfigJson(await readText(source, path, signal), `${source.name}/${path}`);
}

/** A map from path to Blob or File. */
export function blobModelSource(name: string, files: ReadonlyMap<string, Blob>): ModelSource {
  return {
    name,
    async open(path) {
      checkPath(name, path);
      const blob = files.get(path);
      return Promise.resolve(blob && blobSource(`${name}/${path}`, blob));
    },
    exists: async (path) => Promise.resolve(files.has(path)),
    list: async (folder) => Promise.resolve(filesIn(folder, files.keys())),
  };
}

/** A File of a browser's folder picker (`<input webkitdirectory>`), whose paths begin with the folder's own name. */
export interface PickedFile extends Blob {
  readonly webkitRelativePath: string;
}

/** The files of a folder picked in a browser. Throws NotFoundError for an empty pick. */
export function pickedFolderSource(files: Iterable<PickedFile>): ModelSource {
  const picked = [...files];
  const root = picked[0]?.webkitRelativePath.split('/')[0];
  if (root === undefined)
    throw new NotFoundError('no files were picked', {
      remedy: "Pick the model's folder, with all of its files",
    });
  return blobModelSource(
    root,
    new Map(picked.map((file) => [file.webkitRelativePath.slice(root.length + 1), file])),
  );
}

/** The files under a base URL, read by range requests. The server's folders cannot be listed. */
export function httpModelSource(base: string, client: HttpClient = {}): ModelSource {
  const name = base.replace(/\/+$/, '');
  const urlOf = (path: string): string => {
    checkPath(name, path);
    return `${name}/${path.split('/').map(encodeURIComponent).join('/')}`;
  };
  return {
    name,
    open: async (path, signal) => openHttpSource(urlOf(path), client, signal),
    exists: async (path, signal) => urlExists(urlOf(path), client, signal),
    list: async () => Promise.resolve(undefined),
  };
}

/** Whether a HEAD request finds something. Throws DownloadError for refusals other than 404 and 410. */
async function urlExists(url: string, client: HttpClient, signal?: AbortSignal): Promise<boolean> {
  const { response } = await retrying(client, signal, async () =>
    send(url, client, { method: 'HEAD', signal }),
  );
  if (response.ok) return true;
  if (response.status === 404 || response.status === 410) return false;
  throw await refused(response, url);
}

/** Names of those paths that lie directly in a folder. */
export function filesIn(folder: string, paths: Iterable<string>): string[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  return [...paths]
    .filter((path) => path.startsWith(prefix) && !path.slice(prefix.length).includes('/'))
    .map((path) => path.slice(prefix.length));
}
