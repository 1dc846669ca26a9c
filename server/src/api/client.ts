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

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The answer begins with the first
 * event, so that what fails before it is answered as any other request.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  #stream: PassThrough | undefined;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
  }

  get begun(): boolean {
    return this.#stream !== undefined;
  }

  send(event: string, data: object): void {
    if (this.#stream === undefined) {
      this.#stream = new PassThrough();
      void this.#reply
        .header('cache-control', 'no-store')
        // Proxies would collect the events otherwise.
        .header('x-accel-buffering', 'no')
        .type('text/event-stream')
        .send(this.#stream);
    }
    this.#stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    this.#stream?.end();
  }
}
