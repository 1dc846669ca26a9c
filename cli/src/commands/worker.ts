/** @file `calotype worker`: this machine's pipelines for a queue that servers anywhere fill. */
import { defineCommand } from 'citty';
import { prepareBackend } from '../backends.ts';
import { untilStopped } from '../interrupt.ts';
import { runnerPrograms } from '../runner-programs.ts';
import { readWorkerRequest, WORKER_ARGS } from '../serve-request.ts';

export const worker = defineCommand({
  meta: { name: 'worker', description: 'Draw what `calotype serve --queue` accepts, on this machine' },
  args: WORKER_ARGS,
  async run({ args, rawArgs }) {
    const request = readWorkerRequest(args, rawArgs);
    await prepareBackend(request.backend, request.components);
    // Only now: the other commands need neither.
    const library = await import('@calotype/server');
    const stopped = untilStopped();
    const worker = new library.RedisWorker({
      ...request,
      url: request.queue,
      store: library.openStore(request.storage),
      runners: runnerPrograms(request, rawArgs).map((program) => new library.ProcessRunner(program)),
    });
    const app = await library.createWorkerApp(worker, { level: request.logLevel });
    try {
      const { port, host } = request;
      if (port !== undefined) await app.listen({ port, host });
      await worker.start();
      process.stderr.write(`Drawing ${request.models.map(({ name }) => name).join(', ')}\n`);
      await stopped;
      process.stderr.write('Finishing what is in work; once more to stop at once.\n');
    } finally {
      await worker.close();
      await app.close();
    }
  },
});
