/**
 * @file Downloads one blob into the Hub cache: resumed where an earlier try stopped, checked by size and hash, and
 * only then renamed to its final name.
 *
 * huggingface_hub names its own leftovers `<blob>.<random>.incomplete` and never resumes them; ours are called
 * `<blob>.calotype-<pid>-<random>.incomplete`, so that neither touches the other's, and a partial file whose process
 * is gone can be told from one that is being written. Taking one over is a rename, which only one process wins.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DownloadError } from '../errors.ts';
import {
  bodyChunks,
  type HttpClient,
  InterruptedDownloadError,
  parseContentRange,
  refused,
  retrying,
  send,
} from '../loaders/http.ts';
import { systemErrorCode } from './node-file-source.ts';

/** How far a file is. `verify` reads it once more for its hash. */
export interface DownloadProgress {
  /** Path inside the repository. */
  readonly file: string;
  readonly phase: 'download' | 'verify';
  /** Bytes done. */
  readonly loaded: number;
  /** Bytes in all; undefined if the server does not say. */
  readonly total: number | undefined;
}

/** What to download, and where to. */
export interface BlobDownload {
  readonly url: string;
  /** Path inside the repository, for progress. */
  readonly file: string;
  /** Final path; its folder exists. */
  readonly blob: string;
  /** sha256 of the content, or its Git blob hash (sha1), in hexadecimal; anything else is not checked. */
  readonly etag: string;
  /** Bytes, if known beforehand. */
  readonly size: number | undefined;
  readonly client: HttpClient;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

const AGAIN = 'Try again; if it happens again, the file on the server is not what the repository says it is';

/** Partial files that this process is writing. */
const active = new Set<string>();

/**
 * Downloads to `blob`. On failure or abort what has arrived stays for the next try, unless it is wrong.
 * Throws DownloadError, or the signal's reason.
 */
export async function downloadBlob(job: BlobDownload): Promise<void> {
  const partial = await claimPartial(job.blob);
  try {
    await retrying(
      job.client,
      job.signal,
      async () => fetchRest(job, partial),
      () => partial.loaded,
    );
    await verify(job, partial);
    await rename(partial.path, job.blob);
    await rm(validatorPath(partial.path), { force: true });
  } finally {
    active.delete(partial.path);
  }
}

/** A file that is being filled. */
interface Partial {
  readonly path: string;
  /** Bytes that it holds. */
  loaded: number;
  /** ETag or date of the version that they are of; undefined if they cannot be resumed. */
  validator: string | undefined;
}

function validatorPath(path: string): string {
  return `${path}.validator`;
}

/** Takes over what an earlier try left, or starts a new partial file. */
async function claimPartial(blob: string): Promise<Partial> {
  const folder = dirname(blob);
  const stem = `${basename(blob)}.calotype-`;
  const path = join(folder, `${stem}${process.pid}-${randomBytes(4).toString('hex')}.incomplete`);
  active.add(path);
  for (const name of await readdir(folder)) {
    const pid = /^(\d+)-[0-9a-f]+\.incomplete$/.exec(
      name.startsWith(stem) ? name.slice(stem.length) : '',
    )?.[1];
    if (pid === undefined || isBeingWritten(join(folder, name), Number(pid))) continue;
    try {
      await rename(join(folder, name), path);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') continue;
      throw error;
    }
    await rename(validatorPath(join(folder, name)), validatorPath(path)).catch(() => undefined);
    const validator = await readFile(validatorPath(path), 'utf8').catch(() => '');
    // A damaged one may be nothing that a header can hold.
    const isUsable = /^[\x20-\x7e]+$/.test(validator);
    return { path, loaded: (await stat(path)).size, validator: isUsable ? validator : undefined };
  }
  await writeFile(path, '');
  return { path, loaded: 0, validator: undefined };
}

function isBeingWritten(path: string, pid: number): boolean {
  if (pid === process.pid) return active.has(path);
  try {
    // Signal 0 only asks whether the process is there.
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ESRCH';
  }
}

/** One request for what is missing. */
async function fetchRest(job: BlobDownload, partial: Partial): Promise<void> {
  if (partial.loaded > 0 && (partial.validator === undefined || partial.loaded > (job.size ?? Infinity)))
    partial.loaded = 0;
  if (partial.loaded > 0 && partial.loaded === job.size) return;
  const headers: Record<string, string> =
    partial.loaded > 0 && partial.validator !== undefined
      ? { range: `bytes=${partial.loaded}-`, 'if-range': partial.validator }
      : {};
  const { response } = await send(job.url, job.client, { headers, signal: job.signal });
  let total: number | undefined;
  if (response.status === 206) total = await resumedTotal(response, job, partial);
  else if (response.status === 200) {
    // A first answer, or the file changed (If-Range), or the server ignores ranges: from the beginning.
    partial.loaded = 0;
    total = compressed(response) ? undefined : contentLength(response);
    partial.validator = validatorOf(response);
    await rm(validatorPath(partial.path), { force: true });
    if (partial.validator !== undefined) await writeFile(validatorPath(partial.path), partial.validator);
  } else if (response.status === 416) {
    await response.body?.cancel();
    partial.loaded = 0;
    throw interruptedAt(job, 'the server does not have the rest of the file');
  } else throw await refused(response, job.url);
  if (job.size !== undefined && total !== undefined && total !== job.size) {
    await response.body?.cancel();
    throw new DownloadError(`the server offers ${total} bytes, but the file has ${job.size}`, {
      file: job.url,
      remedy: AGAIN,
    });
  }
  await store(response, job, partial, job.size ?? total);
}

/** The total size from a partial answer, after checking that it begins where the partial file ends. */
async function resumedTotal(
  response: Response,
  job: BlobDownload,
  partial: Partial,
): Promise<number | undefined> {
  const header = response.headers.get('content-range');
  const stated = parseContentRange(header);
  if (stated?.range?.[0] === partial.loaded && !compressed(response)) return stated.total;
  await response.body?.cancel();
  const asked = partial.loaded;
  partial.loaded = 0;
  throw interruptedAt(job, `asked for bytes from ${asked}, the server answered ${JSON.stringify(header)}`);
}

function interruptedAt(job: BlobDownload, problem: string): InterruptedDownloadError {
  return new InterruptedDownloadError(problem, { file: job.url, remedy: AGAIN });
}

function compressed(response: Response): boolean {
  return (response.headers.get('content-encoding') ?? 'identity') !== 'identity';
}

function contentLength(response: Response): number | undefined {
  const header = response.headers.get('content-length');
  return header === null ? undefined : Number(header);
}

/** If-Range needs a strong validator: an ETag that is not weak, or else a date. */
function validatorOf(response: Response): string | undefined {
  const etag = response.headers.get('etag');
  return etag !== null && !etag.startsWith('W/')
    ? etag
    : (response.headers.get('last-modified') ?? undefined);
}

/** Writes the body behind what is there already. */
async function store(
  response: Response,
  job: BlobDownload,
  partial: Partial,
  total: number | undefined,
): Promise<void> {
  const handle = await open(partial.path, 'r+');
  try {
    await handle.truncate(partial.loaded);
    job.onProgress?.({ file: job.file, phase: 'download', loaded: partial.loaded, total });
    for await (const chunk of bodyChunks(response, job.url, job.signal)) {
      if (partial.loaded + chunk.length > (total ?? Infinity)) {
        partial.loaded = 0;
        throw new DownloadError(`the server sends more than the ${total} bytes that it announced`, {
          file: job.url,
          remedy: AGAIN,
        });
      }
      await writeAll(handle, chunk, partial.loaded);
      partial.loaded += chunk.length;
      job.onProgress?.({ file: job.file, phase: 'download', loaded: partial.loaded, total });
    }
  } finally {
    await handle.truncate(partial.loaded);
    await handle.close();
  }
  if (partial.loaded < (total ?? 0))
    throw interruptedAt(job, `the connection ended after ${partial.loaded} of ${total} bytes`);
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;)
    done += (await handle.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
}

/** Compares the content with the hash that the Hub gave; a wrong file is deleted. */
async function verify(job: BlobDownload, partial: Partial): Promise<void> {
  const total = partial.loaded;
  const hash = hashFor(job.etag, total);
  if (hash === undefined) return;
  const handle = await open(partial.path, 'r');
  try {
    const buffer = new Uint8Array(1 << 20);
    for (let at = 0; at < total;) {
      job.signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
      job.onProgress?.({ file: job.file, phase: 'verify', loaded: at, total });
    }
  } finally {
    await handle.close();
  }
  const digest = hash.digest('hex');
  if (digest === job.etag) return;
  await rm(partial.path, { force: true });
  await rm(validatorPath(partial.path), { force: true });
  throw new DownloadError(`the content is not what the repository says (hash ${digest}, not ${job.etag})`, {
    file: job.url,
    remedy: `It changed or was damaged on its way and has been deleted. ${AGAIN}`,
  });
}

/** LFS files are named by the sha256 of their content, others by the sha1 that Git gives a blob. */
function hashFor(etag: string, size: number): ReturnType<typeof createHash> | undefined {
  if (/^[0-9a-f]{64}$/.test(etag)) return createHash('sha256');
  if (/^[0-9a-f]{40}$/.test(etag)) return createHash('sha1').update(`blob ${size}\0`);
  return undefined;
}
