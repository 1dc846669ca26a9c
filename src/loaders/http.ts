/**
 * @file HTTP requests as downloads need them: retries with back-off, redirects that never carry a token to another
 * origin, bodies read piece by piece, and typed errors.
 */
import { DownloadError, type ErrorDetails } from '../errors.ts';
import type { Bytes } from './byte-source.ts';

/** How requests are made. */
export interface HttpClient {
  /** Stands in for the global fetch. */
  readonly fetch?: typeof globalThis.fetch;
  /** Bearer token, sent to the origin of the requested URL only, never on to another one. */
  readonly token?: string;
  /** Tries in a row that may fail without getting further; 1 means no second try at all. Default 5. */
  readonly attempts?: number;
  /** Milliseconds before the second try; doubles each time. Default 500. */
  readonly retryDelayMs?: number;
}

/** One request. */
export interface HttpRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Stop at a redirect that leaves the origin and give that answer back. Default: follow all. */
  readonly stayOnOrigin?: boolean;
}

/** The last answer of a chain of redirects, and the answers before it. */
export interface HttpReply {
  readonly response: Response;
  /** Every answer's headers that came from the origin of the requested URL, first to last. */
  readonly ownHeaders: readonly Headers[];
}

/** A download that broke off, or that a busy server refused: the same request may succeed later. */
export class InterruptedDownloadError extends DownloadError {
  /** What the server asked for in Retry-After. */
  readonly retryAfterMs: number | undefined;

  constructor(problem: string, details: ErrorDetails, retryAfterMs?: number) {
    super(problem, details);
    this.retryAfterMs = retryAfterMs;
  }
}

const MAX_REDIRECTS = 10;
const MAX_RETRY_AFTER_MS = 60_000;
const BUSY = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Sends a request and follows redirects. Any status is given back, except those of a busy server, which throw
 * InterruptedDownloadError as a broken connection does; wrap in `retrying`.
 */
export async function send(url: string, client: HttpClient, request: HttpRequest = {}): Promise<HttpReply> {
  const origin = new URL(url).origin;
  const ownHeaders: Headers[] = [];
  let at = url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const own = new URL(at).origin === origin;
    // Once away from the origin, the token stays away, even if a later hop leads back.
    const trusted = own && ownHeaders.length === hop;
    let response = await fetchOnce(at, client, request, trusted, 'manual');
    // Browsers hide redirects from scripts. Letting them follow is safe: the Fetch standard drops Authorization
    // when a redirect leaves the origin.
    if (response.type === 'opaqueredirect')
      response = await fetchOnce(at, client, request, trusted, 'follow');
    if (own) ownHeaders.push(response.headers);
    const location = [301, 302, 303, 307, 308].includes(response.status)
      ? response.headers.get('location')
      : null;
    if (location === null) return { response: await refuseBusy(response, at), ownHeaders };
    const next = redirectTarget(location, at);
    if (request.stayOnOrigin === true && next.origin !== origin) return { response, ownHeaders };
    await response.body?.cancel();
    at = next.href;
  }
  throw new DownloadError(`more than ${MAX_REDIRECTS} redirects`, {
    file: url,
    remedy: 'Check the address, or ask whoever runs the server',
  });
}

async function fetchOnce(
  url: string,
  client: HttpClient,
  { method = 'GET', headers, signal }: HttpRequest,
  trusted: boolean,
  redirect: 'manual' | 'follow',
): Promise<Response> {
  const authorization =
    client.token !== undefined && trusted ? { authorization: `Bearer ${client.token}` } : {};
  try {
    return await (client.fetch ?? globalThis.fetch)(url, {
      method,
      redirect,
      headers: { 'accept-encoding': 'identity', ...headers, ...authorization },
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    throw interrupted(cause, url, signal);
  }
}

function redirectTarget(location: string, from: string): URL {
  const target = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const secure = new URL(from).protocol === 'https:';
  if (target === undefined || !(target.protocol === 'https:' || (target.protocol === 'http:' && !secure)))
    throw new DownloadError(`redirects to ${JSON.stringify(location)}, which is no address to follow`, {
      file: from,
      remedy: 'Check the address, or ask whoever runs the server',
    });
  return target;
}

async function refuseBusy(response: Response, url: string): Promise<Response> {
  if (!BUSY.has(response.status)) return response;
  await response.body?.cancel();
  const remedy =
    response.status === 429
      ? 'Too many requests: wait some minutes, or set HF_TOKEN so that you are not counted as anonymous'
      : 'The server is busy or broken: try again later';
  throw new InterruptedDownloadError(
    `the server answered ${response.status}`,
    { file: url, remedy },
    retryAfter(response.headers.get('retry-after')),
  );
}

function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : undefined;
}

/** What a failed fetch or body read becomes; the caller's own abort passes through as it is. */
function interrupted(cause: unknown, url: string, signal: AbortSignal | undefined): unknown {
  // The connection may have broken in the moment of the abort; what was asked for last counts.
  if (signal?.aborted === true) return signal.reason;
  if (cause instanceof DownloadError) return cause;
  const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new InterruptedDownloadError(`the connection failed (${message})`, {
    file: url,
    remedy:
      'Check the network and the address; what has been downloaded so far is kept where there is a cache',
    cause,
  });
}

/**
 * Runs `attempt` until it succeeds, waiting longer after each interruption. `progress` tells how far the work is:
 * tries that got further do not count. Throws the last error, or at once any that is not an interruption.
 */
export async function retrying<Result>(
  client: HttpClient,
  signal: AbortSignal | undefined,
  attempt: () => Promise<Result>,
  progress: () => number = () => 0,
): Promise<Result> {
  const { attempts = 5, retryDelayMs = 500 } = client;
  let before = progress();
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof InterruptedDownloadError)) throw error;
      if (progress() > before) failures = 1;
      if (failures >= attempts) throw error;
      before = progress();
      await sleep(error.retryAfterMs ?? Math.min(retryDelayMs * 2 ** (failures - 1), 30_000), signal);
    }
  }
}

/** Waits, unless or until the signal aborts; then its reason is thrown. */
async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
  signal?.throwIfAborted();
}

/** The pieces of a body as they arrive. A broken connection throws InterruptedDownloadError. */
export async function* bodyChunks(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch (cause) {
        throw interrupted(cause, url, signal);
      }
      if (chunk.done) return;
      yield chunk.value;
    }
  } finally {
    // Closes the connection if the caller stopped early; it may be gone already.
    await reader.cancel().catch(() => undefined);
  }
}

/** A whole body, or undefined if it has more than `maxBytes`; then the rest is not read. */
export async function readBody(
  response: Response,
  url: string,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<Bytes | undefined> {
  if (Number(response.headers.get('content-length') ?? 0) > maxBytes) {
    await response.body?.cancel();
    return undefined;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyChunks(response, url, signal)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxBytes) return undefined;
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** The error for an answer that is no success; the answer's body is dropped. */
export async function refused(response: Response, url: string): Promise<DownloadError> {
  await response.body?.cancel();
  const { status } = response;
  const message = response.headers.get('x-error-message');
  return new DownloadError(`the server answered ${status}${message ? ` (${message})` : ''}`, {
    file: url,
    remedy:
      status === 401 || status === 403
        ? 'Set HF_TOKEN to a token that may read this repository, and accept its terms on its page if it asks for that'
        : 'Check the address and its spelling',
  });
}

/** A Content-Range header's first and last byte and total size; undefined for parts that are not given. */
export function parseContentRange(
  header: string | null,
):
  | { readonly range: readonly [first: number, last: number] | undefined; readonly total: number | undefined }
  | undefined {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(?:(\d+)|\*)$/.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [, first, last, total] = match;
  return {
    range: first === undefined || last === undefined ? undefined : [Number(first), Number(last)],
    total: total === undefined ? undefined : Number(total),
  };
}
