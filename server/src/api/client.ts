/** @file The client's end of a request: when it goes away, and events sent to it while it waits. */
import { PassThrough } from 'node:stream';
import type { FastifyReply } from 'fastify';

/** A signal that aborts when the connection closes before the answer is whole. */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new DOMException('The client went away', 'AbortError'));
  });
  return controller.signal;
}

/** Resolves when an answer is written or its connection closed: until then it takes memory. */
export async function answered(reply: FastifyReply): Promise<void> {
  await new Promise<void>((resolve) => void reply.raw.once('close', resolve));
}

/** Milliseconds between comments in events, so that neither end takes a slow step for a dead connection. */
const HEARTBEAT = 10_000;

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The answer begins with the first
 * event, so that what fails before it is answered as any other request.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  #stream: PassThrough | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
  }

  get begun(): boolean {
    return this.#stream !== undefined;
  }

  send(event: string, data: object): void {
    if (this.#stream === undefined) {
      const stream = new PassThrough();
      this.#stream = stream;
      this.#heartbeat = setInterval(() => stream.write(':\n\n'), HEARTBEAT);
      void this.#reply
        .header('cache-control', 'no-store')
        // Proxies would collect the events otherwise.
        .header('x-accel-buffering', 'no')
        .type('text/event-stream')
        .send(stream);
    }
    this.#stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    clearInterval(this.#heartbeat);
    this.#stream?.end();
  }
}
