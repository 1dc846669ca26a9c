/**
 * @file Hugging Face repositories through the cache that huggingface_hub (Python) keeps on disk, so that both share
 * one copy: `models--owner--name/{refs,blobs,snapshots}`, with relative links from snapshots to blobs
 * (huggingface_hub/file_download.py, `_hf_hub_download_to_cache_dir`).
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { CalotypeError, DownloadError, NotFoundError } from '../errors.ts';
import type { ByteSource } from '../loaders/byte-source.ts';
import { type HttpClient, InterruptedDownloadError, retrying, send } from '../loaders/http.ts';
import {
  fetchListing,
  hubRefusal,
  type HubRepository,
  type HubSettings,
  isCommit,
  resolveUrl,
} from '../loaders/hub.ts';
import { checkPath, filesIn, type ModelSource } from '../loaders/model-source.ts';
import { type DownloadProgress, downloadBlob } from './blob-download.ts';
import { isFile, listFiles, openNodeFile, systemErrorCode } from './node-file-source.ts';

/** Options of `cachedHubSource`. */
export interface HubCacheOptions {
  readonly settings: HubSettings;
  /** Folder that holds `models--...`; see `hubCacheFolder`. */
  readonly cacheFolder: string;
  readonly http?: HttpClient;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Told when the Hub cannot be reached and files from the cache are used instead. */
  readonly onNotice?: (notice: string) => void;
}

/** The cache folder that huggingface_hub would use: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
export function hubCacheFolder(env: Readonly<Record<string, string | undefined>>, home = homedir()): string {
  const expand = (path: string): string =>
    path
      .replace(/^~(?=$|[\\/])/, () => home)
      .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare, braced) => env[String(bare ?? braced)] ?? all);
  const base = env['XDG_CACHE_HOME'] || join(home, '.cache');
  const hfHome = expand(env['HF_HOME'] || join(base, 'huggingface'));
  return expand(env['HF_HUB_CACHE'] || env['HUGGINGFACE_HUB_CACHE'] || join(hfHome, 'hub'));
}

/**
 * A repository whose files are downloaded into the cache when they are first opened, and checked (size and hash)
 * before they appear there. The first answer of the Hub pins the revision to one commit. With HF_HUB_OFFLINE, or if
 * the Hub cannot be reached, files come from the cache alone.
 * Opening throws NotFoundError for repositories and revisions that do not exist, and DownloadError.
 */
export function cachedHubSource(repository: HubRepository, options: HubCacheOptions): ModelSource {
  return new CachedHubSource(repository, options);
}

/** What the Hub says about one file of one commit. */
interface RemoteFile {
  readonly commit: string;
  /** Name of the blob: the sha256 of an LFS file, or the Git blob hash of another. */
  readonly etag: string;
  readonly size: number | undefined;
}

class CachedHubSource implements ModelSource {
  readonly name: string;
  readonly #repository: HubRepository;
  readonly #options: HubCacheOptions;
  readonly #client: HttpClient;
  readonly #folder: string;
  /** The commit that the revision stands for, once known. */
  #commit: string | undefined;
  #offline: boolean;

  constructor(repository: HubRepository, options: HubCacheOptions) {
    const { token, offline } = options.settings;
    this.name = repository.id;
    this.#repository = repository;
    this.#options = options;
    this.#client = token === undefined ? { ...options.http } : { ...options.http, token };
    this.#folder = join(options.cacheFolder, `models--${repository.id.replaceAll('/', '--')}`);
    this.#commit = isCommit(repository.revision) ? repository.revision : undefined;
    this.#offline = offline;
  }

  async open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined> {
    const found = await this.#find(path, signal);
    if (found === undefined) return undefined;
    return openNodeFile(typeof found === 'string' ? found : await this.#get(path, found, signal));
  }

  async exists(path: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#find(path, signal)) !== undefined;
  }

  async list(folder: string, signal?: AbortSignal): Promise<readonly string[]> {
    if (this.#offline) return listFiles(join(this.#snapshot(await this.#cachedCommit()), folder));
    const pinned = { ...this.#repository, revision: this.#commit ?? this.#repository.revision };
    const { files } = await fetchListing(this.#options.settings.endpoint, pinned, this.#client, signal);
    return filesIn(folder, files.keys());
  }

  /** A file's path in the cache, or what the Hub says about it, or undefined if it does not exist. */
  async #find(path: string, signal: AbortSignal | undefined): Promise<string | RemoteFile | undefined> {
    checkPath(this.name, path);
    if (this.#offline) this.#commit ??= await this.#cachedCommit();
    const cached = this.#commit === undefined ? undefined : await this.#cachedFile(this.#commit, path);
    if (cached !== undefined || this.#offline) return cached;
    try {
      return await this.#ask(path, signal);
    } catch (error) {
      if (!(error instanceof InterruptedDownloadError)) throw error;
      const commit = this.#commit ?? (await this.#readRef());
      const file = commit === undefined ? undefined : await this.#cachedFile(commit, path);
      if (file === undefined)
        throw new DownloadError(error.problem, {
          file: error.file,
          remedy: `${error.remedy}. For a folder on this machine write "./${this.name}"`,
          cause: error,
        });
      this.#commit = commit;
      this.#offline = true;
      this.#options.onNotice?.(`${error.message} Using the files of ${this.name} that are in the cache.`);
      return file;
    }
  }

  #snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  async #cachedFile(commit: string, path: string): Promise<string | undefined> {
    const file = join(this.#snapshot(commit), path);
    return (await isFile(file)) ? file : undefined;
  }

  /** The commit that the cache has for the revision; undefined if it has none. */
  async #readRef(): Promise<string | undefined> {
    try {
      const commit = (await readFile(join(this.#folder, 'refs', this.#repository.revision), 'utf8')).trim();
      return isCommit(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  async #cachedCommit(): Promise<string> {
    const commit = this.#commit ?? (await this.#readRef());
    if (commit !== undefined) return commit;
    throw new NotFoundError(
      `revision "${this.#repository.revision}" is not in the cache, and HF_HUB_OFFLINE is set`,
      {
        file: this.#folder,
        remedy: 'Unset HF_HUB_OFFLINE to download it, or set HF_HUB_CACHE to the cache that has it',
      },
    );
  }

  /** Asks the Hub about a file, without following redirects to where it is stored. */
  async #ask(path: string, signal: AbortSignal | undefined): Promise<RemoteFile | undefined> {
    const pinned = { ...this.#repository, revision: this.#commit ?? this.#repository.revision };
    const url = resolveUrl(this.#options.settings.endpoint, pinned, path);
    const { response, ownHeaders } = await retrying(this.#client, signal, async () =>
      send(url, this.#client, { method: 'HEAD', stayOnOrigin: true, signal }),
    );
    const header = (name: string): string | undefined =>
      ownHeaders.map((headers) => headers.get(name)).findLast((value) => value !== null) ?? undefined;
    const redirected = response.status >= 300 && response.status < 400;
    if (response.status === 404 && (header('x-error-code') ?? 'EntryNotFound') === 'EntryNotFound')
      return undefined;
    if (!response.ok && !redirected) throw await hubRefusal(response, url, pinned);
    const commit = header('x-repo-commit');
    const etag = (header('x-linked-etag') ?? response.headers.get('etag') ?? '')
      .replace(/^W\//, '')
      .replaceAll('"', '');
    if (commit === undefined || !isCommit(commit) || !/^\w[\w.-]{0,200}$/.test(etag))
      throw new DownloadError(
        'the answer has no commit or no usable ETag, as the Hugging Face Hub gives them',
        {
          file: url,
          remedy: 'Check HF_ENDPOINT; for a plain file server give its address instead of a repository id',
        },
      );
    if (this.#commit !== undefined && commit !== this.#commit)
      throw new DownloadError(`the server answered with commit ${commit} instead of ${this.#commit}`, {
        file: url,
        remedy: 'Check HF_ENDPOINT: the mirror mixes versions',
      });
    this.#commit = commit;
    const size = header('x-linked-size') ?? (redirected ? undefined : response.headers.get('content-length'));
    return { commit, etag, size: size === undefined || size === null ? undefined : Number(size) };
  }

  /** Puts a file into the cache, if it is not there already, and gives its path. */
  async #get(path: string, remote: RemoteFile, signal: AbortSignal | undefined): Promise<string> {
    const pointer = join(this.#snapshot(remote.commit), path);
    const blob = join(this.#folder, 'blobs', remote.etag);
    try {
      await mkdir(dirname(blob), { recursive: true });
      await mkdir(dirname(pointer), { recursive: true });
      await this.#writeRef(remote.commit);
      if (await isFile(pointer)) return pointer;
      if (!(await isFile(blob)))
        await downloadBlob({
          url: resolveUrl(
            this.#options.settings.endpoint,
            { ...this.#repository, revision: remote.commit },
            path,
          ),
          file: path,
          blob,
          etag: remote.etag,
          size: remote.size,
          client: this.#client,
          signal,
          onProgress: this.#options.onProgress,
        });
      await link(blob, pointer);
      return pointer;
    } catch (cause) {
      const code = systemErrorCode(cause);
      if (code === undefined || cause instanceof CalotypeError) throw cause;
      throw new DownloadError(`could not be written (${code})`, {
        file: pointer,
        remedy:
          'Make room on the disk, check that you may write there, or set HF_HUB_CACHE to another folder',
        cause,
      });
    }
  }

  /** Notes which commit a branch or tag stands for; a rename, so that readers never see half of it. */
  async #writeRef(commit: string): Promise<void> {
    const { revision } = this.#repository;
    if (revision === commit || (await this.#readRef()) === commit) return;
    const ref = join(this.#folder, 'refs', revision);
    await mkdir(dirname(ref), { recursive: true });
    const temporary = `${ref}.${randomBytes(4).toString('hex')}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, ref);
  }
}

/** Links a snapshot's file to its blob; where links are not allowed (Windows), the blob itself moves there. */
async function link(blob: string, pointer: string): Promise<void> {
  // A link to a blob that was deleted may be in the way.
  await rm(pointer, { force: true });
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    const code = systemErrorCode(error);
    // Another process made the same link just now.
    if (code === 'EEXIST') return;
    if (code !== 'EPERM' && code !== 'ENOSYS' && code !== 'EACCES') throw error;
    await rename(blob, pointer);
  }
}
