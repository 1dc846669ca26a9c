/** @file `@calotype/server/runner`: the program of a runner's process. It loads nothing of the web server. */
import { sendError } from 'calotype';
import { type HostOptions, PipelineHost } from './runner/pipeline-host.ts';
import type { FromRunner, SentOutcome, ToRunner } from './runner/protocol.ts';
import type { RunnerJob } from './runner/runner.ts';

export type { HostOptions } from './runner/pipeline-host.ts';
export { type NamedSource, readSources } from './models.ts';

/**
 * Makes this process a runner: it draws what its parent sends until the parent is gone. Start it with an IPC channel of
 * serialization 'advanced', as the server does.
 */
export function runRunner(options: HostOptions): void {
  const host = new PipelineHost(options);
  let aborts: AbortController[] = [];

  const draw = async (requests: Extract<ToRunner, { readonly draw: unknown }>['draw']): Promise<void> => {
    aborts = requests.map(() => new AbortController());
    const jobs = requests.map((request, job): RunnerJob => ({
      request,
      signal: aborts[job].signal,
      onStep: (step) => post({ job, step }),
    }));
    const outcomes = await host.draw(jobs);
    post({
      outcomes: outcomes.map((outcome): SentOutcome =>
        'drawn' in outcome ? outcome : { failed: sendError(outcome.failed) },
      ),
    });
  };

  process.on('message', (message: ToRunner) => {
    if ('draw' in message) void draw(message.draw);
    else aborts[message.abort]?.abort(new DOMException('The job was given up', 'AbortError'));
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
