/** @file The program of a runner's process: models and backends of the command that started it, from the same arguments. */
import { runRunner } from '@calotype/server/runner';
import { parseArgs } from 'citty';
import { readAdapterPlace } from './additions.ts';
import { backendsOf } from './backends.ts';
import { componentBackendsOf } from './component-backends.ts';
import { readRunnerRequest, SERVE_ARGS, WORKER_ARGS } from './serve-request.ts';

const rawArgs = process.argv.slice(2);
const request = readRunnerRequest(parseArgs(rawArgs, { ...SERVE_ARGS, ...WORKER_ARGS }), rawArgs);
// Only here, where the files are: a server with workers elsewhere needs the names alone.
const ipAdapters = request.ipAdapters.map((adapter) => ({ ...adapter, ...readAdapterPlace(adapter.source) }));
runRunner({
  ...request,
  ipAdapters,
  backends: () => backendsOf(request.backend),
  ...(request.components.size > 0 && {
    componentBackends: () => componentBackendsOf(request.components),
  }),
});
