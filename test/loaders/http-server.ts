/** @file A small HTTP server for tests that can be told to misbehave. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** A request as it arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

/** A running server. */
export interface TestServer {
  readonly url: string;
  readonly seen: SeenRequest[];
  /** Answers requests; may be replaced at any time. */
  handle: (request: SeenRequest, response: ServerResponse) => void;
  close(): Promise<void>;
}

/** Starts a server on a free port of 127.0.0.1. */
export async function startServer(handle: TestServer['handle']): Promise<TestServer> {
  const seen: SeenRequest[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const { range, authorization, 'if-range': ifRange } = request.headers;
    const entry: SeenRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      range,
      ifRange: ifRange === undefined ? undefined : String(ifRange),
      authorization,
    };
    seen.push(entry);
    running.handle(entry, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const running: TestServer = {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    handle,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  return running;
}

/** How a file is served; a well-behaved server unless told otherwise. */
export interface ServeOptions {
  readonly etag?: string;
  readonly lastModified?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Breaks the connection when the client, which must use `noticedFetch`, has taken this many bytes of the body. */
  readonly cutAfter?: number;
  readonly ignoreRange?: boolean;
  /** Total size to claim in Content-Range. */
  readonly claimTotal?: number | '*';
  /** Sends bytes from elsewhere than asked, with a Content-Range that says so. */
  readonly shift?: number;
  /** Bytes that are sent on top of what the Content-Range says. */
  readonly extra?: number;
}

/** Answers with a file, range requests and If-Range included (RFC 9110). */
export function serveFile(
  request: SeenRequest,
  response: ServerResponse,
  body: Uint8Array,
  options: ServeOptions = {},
): void {
  const {
    etag,
    lastModified,
    headers,
    cutAfter,
    ignoreRange = false,
    claimTotal = body.length,
    shift = 0,
    extra = 0,
  } = options;
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
  if (etag !== undefined) response.setHeader('etag', etag);
  if (lastModified !== undefined) response.setHeader('last-modified', lastModified);
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.range ?? '');
  const stale = request.ifRange !== undefined && request.ifRange !== etag && request.ifRange !== lastModified;
  let part = body;
  if (match !== null && !ignoreRange && !stale) {
    const first = Number(match[1]) + shift;
    const last = Math.min(match[2] === '' ? Infinity : Number(match[2]), body.length - 1);
    if (first > last) {
      response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
      return;
    }
    part = body.subarray(first, last + 1);
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${first}-${last}/${claimTotal}`);
  }
  if (request.method === 'HEAD') {
    response.setHeader('content-length', part.length);
    response.end();
    return;
  }
  if (extra > 0) {
    // Without Content-Length, so that the client's HTTP parser lets the surplus through.
    response.write(part);
    response.end(new Uint8Array(extra));
    return;
  }
  response.setHeader('content-length', part.length);
  if (cutAfter === undefined || cutAfter >= part.length) response.end(part);
  else {
    const answer = String(++answers);
    response.setHeader(ANSWER, answer);
    response.write(part.subarray(0, cutAfter));
    whenTaken.set(answer, (bytes) => {
      if (bytes < cutAfter) return;
      whenTaken.delete(answer);
      response.destroy();
    });
  }
}

/** Names an answer that is to be cut, and who hears how much of it was taken. */
const ANSWER = 'x-test-answer';
const whenTaken = new Map<string, (bytes: number) => void>();
let answers = 0;

/**
 * fetch for clients of servers that cut: it tells how much of a body was read. A connection that broke as soon as everything
 * was sent could take bytes with it that its client has not read yet.
 */
export const noticedFetch: typeof fetch = async (...args) => {
  const response = await fetch(...args);
  const notice = whenTaken.get(response.headers.get(ANSWER) ?? '');
  if (!notice || !response.body) return response;
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
  const read = reader.read.bind(reader);
  let taken = 0;
  reader.read = async () => {
    const chunk = await read();
    notice((taken += chunk.value?.length ?? 0));
    return chunk;
  };
  Object.defineProperty(response.body, 'getReader', { value: () => reader });
  return response;
};
