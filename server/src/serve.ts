/** @file Starts a server with its queue and runners, and ends it without losing a job. */
import type { FastifyServerOptions } from 'fastify';
import { createApp, type AppOptions } from './api/app.ts';

/** Where to listen, and what to serve. */
export interface ServeOptions extends Omit<AppOptions, 'logger'> {
  /** Default 127.0.0.1: this machine alone. */
  readonly host?: string;
  /** 0 takes any that is free. */
  readonly port: number;
  readonly logger?: FastifyServerOptions['logger'];
}

/** A running server. */
export interface Served {
  /** With the port that it has. */
  readonly url: string;
  /** Takes no more jobs, answers those it has, and ends queue and runners. */
  close(): Promise<void>;
}

/** Milliseconds that clients have to read the last answers. */
const CLOSE_GRACE = 5000;

/** Listens; throws what Node throws when the address is taken. */
export async function serve({
  host = '127.0.0.1',
  port,
  logger = true,
  ...options
}: ServeOptions): Promise<Served> {
  const app = await createApp({ ...options, logger });
  const url = await app.listen({ host, port });
  return {
    url,
    close: async () => {
      // New jobs are refused with a reason while those in work are finished; then connections close.
      await options.queue.close();
      // Those that never sent a request, or do not read their answer, would keep it open.
      const late = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE);
      await app.close();
      clearTimeout(late);
    },
  };
}
