/** @file `@calotype/server/runner`: the program of a runner's process. It loads nothing of the web server. */
import { sendError } from 'calotype';
import type { DrawRequest } from './draw-request.ts';
import { encodeInThreads } from './runner/encoding-thread.ts';
import { type HostOptions, PipelineHost } from './runner/pipeline-host.ts';
import type { FromRunner, ToRunner } from './runner/protocol.ts';

export type { HostOptions } from './runner/pipeline-host.ts';
export { type AddedSource, type NamedSource, readAddedSources, readSources } from './models.ts';
export type { IpAdapterSource } from './runner/addition-options.ts';

/**
 * Makes this process a runner: it draws what its parent sends until the parent is gone. Start it with an IPC channel of
 * serialization 'advanced', as the server does.
 */
export function runRunner(options: HostOptions): void {
  // Both are built into one folder.
  const encode = encodeInThreads(new URL('./encode-thread.js', import.meta.url));
  const host = new PipelineHost({ encode, ...options });
  const aborts = new Map<number, AbortController>();

  const draw = async (job: number, request: DrawRequest): Promise<void> => {
    const abort = new AbortController();
    aborts.set(job, abort);
    try {
      const drawn = await host.draw({ request, signal: abort.signal, onStep: (step) => post({ job, step }) });
      post({ job, drawn });
    } catch (error) {
      post({ job, failed: sendError(error) });
    } finally {
      aborts.delete(job);
    }
  };

  process.on('message', (message: ToRunner) => {
    if ('draw' in message) void draw(message.job, message.draw);
    else aborts.get(message.abort)?.abort(new DOMException('The job was given up', 'AbortError'));
  });
  // Ctrl-C reaches the whole group, but jobs that run are to be finished: the parent says when it is over.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.once('disconnect', () => process.exit(0));
  // A model that cannot be loaded is better known now than with the first job.
  host.load().then(
    () => post({ ready: true }),
    (error: unknown) => {
      post({ obstacle: sendError(error) });
      process.disconnect();
    },
  );
}

function post(message: FromRunner): void {
  process.send?.(message);
}
