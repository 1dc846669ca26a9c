/**
 * @file A ByteSource over HTTP range requests (RFC 9110, section 14), which trusts nothing that the server says:
 * status, Content-Range, total size and validators are checked in every answer.
 */
import { DownloadError } from '../errors.ts';
import { type ByteSource, bufferSource, type Bytes, checkRange } from './byte-source.ts';
import {
  bodyChunks,
  type HttpClient,
  InterruptedDownloadError,
  parseContentRange,
  readBody,
  refused,
  retrying,
  send,
} from './http.ts';

/** Bytes fetched when a file is opened: enough for most JSON files and most safetensors headers. */
const HEAD_BYTES = 1 << 16;
/** Largest file that is accepted whole from a server that does not know range requests. */
const MAX_WHOLE_BYTES = 16 << 20;

const RANGES_REMEDY =
  'Use a server that answers range requests (most do; `python -m http.server` does not), or download the files first';
const CHANGED_REMEDY = 'The file was replaced while it was read: load the model again';

/**
 * Opens a file on an HTTP server with one range request for its beginning.
 * Gives undefined if there is no such file (404 or 410). Throws DownloadError for any other refusal, for servers
 * that ignore ranges (unless the file is small) and, when reading, if the file changes or the server lies about it.
 */
export async function openHttpSource(
  url: string,
  client: HttpClient = {},
  signal?: AbortSignal,
): Promise<ByteSource | undefined> {
  return retrying(client, signal, async () => {
    const { response } = await send(url, client, { headers: rangeHeader(0, HEAD_BYTES), signal });
    const { status } = response;
    if (status === 404 || status === 410) {
      await response.body?.cancel();
      return undefined;
    }
    if (status === 200) {
      const body = await wholeBody(response, url, signal);
      return { ...bufferSource(url, body), version: versionOf(response.headers, body.length) };
    }
    const stated = parseContentRange(response.headers.get('content-range'));
    if (status === 416 && stated?.total === 0) {
      await response.body?.cancel();
      return bufferSource(url, new Uint8Array(0));
    }
    if (status !== 206) throw await refused(response, url);
    if (stated?.total === undefined) {
      await response.body?.cancel();
      throw new DownloadError('the server does not say how large the file is', {
        file: url,
        remedy: RANGES_REMEDY,
      });
    }
    const expected: Identity = { size: stated.total, validator: validatorOf(response.headers) };
    const version = versionOf(response.headers, stated.total);
    const head = { offset: 0, into: new Uint8Array(Math.min(HEAD_BYTES, expected.size)), filled: 0 };
    await fill(response, url, head, expected, signal);
    return new HttpSource(url, client, expected, version, head.into);
  });
}

/** What must stay the same from answer to answer. */
interface Identity {
  readonly size: number;
  /** ETag or Last-Modified; undefined if the server (or CORS) shows neither. */
  readonly validator: string | undefined;
}

/** A range of the file that is being filled; `filled` grows as bytes arrive. */
interface Target {
  readonly offset: number;
  readonly into: Bytes;
  filled: number;
}

class HttpSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly version: string | undefined;
  readonly #client: HttpClient;
  readonly #expected: Identity;
  readonly #head: Bytes;

  constructor(url: string, client: HttpClient, expected: Identity, version: string | undefined, head: Bytes) {
    this.name = url;
    this.size = expected.size;
    this.version = version;
    this.#client = client;
    this.#expected = expected;
    this.#head = head;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Bytes> {
    signal?.throwIfAborted();
    checkRange(this, offset, length);
    const known = this.#head.subarray(offset, offset + length);
    const target: Target = { offset, into: new Uint8Array(length), filled: known.length };
    target.into.set(known);
    if (target.filled === length) return target.into;
    await retrying(
      this.#client,
      signal,
      async () => {
        const headers = rangeHeader(offset + target.filled, length - target.filled);
        const { response } = await send(this.name, this.#client, { headers, signal });
        if (response.status !== 206 && response.status !== 200 && response.status !== 416)
          throw await refused(response, this.name);
        await fill(response, this.name, target, this.#expected, signal);
      },
      () => target.filled,
    );
    return target.into;
  }
}

function rangeHeader(offset: number, length: number): Record<string, string> {
  return { range: `bytes=${offset}-${offset + length - 1}` };
}

/** Weak ETags do for comparing: a change that keeps one is a change that the server calls no change. */
function validatorOf(headers: Headers): string | undefined {
  return headers.get('etag') ?? headers.get('last-modified') ?? undefined;
}

/** See `ByteSource.version`. */
function versionOf(headers: Headers, size: number): string | undefined {
  const validator = validatorOf(headers);
  return validator === undefined ? undefined : `${validator} ${size}`;
}

/** Reads a partial answer into the rest of `target`, after checking that it is just that rest of the same file. */
async function fill(
  response: Response,
  url: string,
  target: Target,
  expected: Identity,
  signal: AbortSignal | undefined,
): Promise<void> {
  const problem = partialProblem(response, target, expected);
  if (problem !== undefined) {
    await response.body?.cancel();
    throw problem(url);
  }
  for await (const chunk of bodyChunks(response, url, signal)) {
    if (target.filled + chunk.length > target.into.length)
      throw new DownloadError('the server sent more bytes than its Content-Range says', {
        file: url,
        remedy: RANGES_REMEDY,
      });
    target.into.set(chunk, target.filled);
    target.filled += chunk.length;
  }
  if (target.filled < target.into.length)
    throw new InterruptedDownloadError(
      `the connection ended after ${target.filled} of ${target.into.length} bytes`,
      {
        file: url,
        remedy: 'Check the network, and try again',
      },
    );
}

/** What is wrong with a partial answer, as a function that makes the error; undefined if nothing is. */
function partialProblem(
  response: Response,
  target: Target,
  expected: Identity,
): ((url: string) => DownloadError) | undefined {
  const changed = (what: string) => (file: string) =>
    new DownloadError(what, { file, remedy: CHANGED_REMEDY });
  const lies = (what: string) => (file: string) => new DownloadError(what, { file, remedy: RANGES_REMEDY });
  if (response.status === 416) return changed('the file became shorter while it was read');
  const validator = validatorOf(response.headers);
  if (expected.validator !== undefined && validator !== undefined && validator !== expected.validator)
    return changed(`the file changed while it was read (from ${expected.validator} to ${validator})`);
  if (response.status !== 206) return lies('the server ignores range requests');
  if ((response.headers.get('content-encoding') ?? 'identity') !== 'identity')
    return lies('the server compresses ranges, so their bytes cannot be told');
  const header = response.headers.get('content-range');
  const stated = parseContentRange(header);
  if (stated?.total !== undefined && stated.total !== expected.size)
    return changed(`the size changed from ${expected.size} to ${stated.total} bytes while the file was read`);
  const first = target.offset + target.filled;
  const last = target.offset + target.into.length - 1;
  if (stated?.range?.[0] !== first || stated.range[1] !== last)
    return lies(`asked for bytes ${first}-${last}, the server answered ${JSON.stringify(header)}`);
  return undefined;
}

/** The body of a server that ignores ranges, as long as it is small. */
async function wholeBody(response: Response, url: string, signal: AbortSignal | undefined): Promise<Bytes> {
  const body = await readBody(response, url, MAX_WHOLE_BYTES, signal);
  if (body !== undefined) return body;
  throw new DownloadError('the server ignores range requests, and the file is too large to take whole', {
    file: url,
    remedy: RANGES_REMEDY,
  });
}
