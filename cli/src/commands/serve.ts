/** @file `calotype serve`: the pipelines of this machine behind HTTP. */
import { defineCommand } from 'citty';
import { prepareBackend } from '../backends.ts';
import { untilStopped } from '../interrupt.ts';
import { runnerPrograms } from '../runner-programs.ts';
import { readServeRequest, SERVE_ARGS } from '../serve-request.ts';

export const serve = defineCommand({
  meta: {
    name: 'serve',
    description: 'Serve pictures to clients of the OpenAI images API and of stable-diffusion-webui',
  },
  args: SERVE_ARGS,
  async run({ args, rawArgs }) {
    const request = readServeRequest(args, rawArgs);
    await prepareBackend(request.backend, request.components);
    // Only now: the other commands need no web server.
    const library = await import('@calotype/server');
    const { redis, storage, keys, limits, capacity, maxBatch, attempts } = request;
    const runners = redis
      ? []
      : runnerPrograms(request, rawArgs).map((program) => new library.ProcessRunner(program));
    const queue = redis
      ? new library.RedisQueue({
          url: redis.url,
          store: library.openStore(redis.storage),
          capacity,
          attempts,
        })
      : new library.MemoryQueue({ runners, capacity, maxBatch, attempts });
    const served = await library.serve({
      ...request,
      limits: { ...library.DEFAULT_LIMITS, ...limits },
      keys: new library.KeyRing(keys && library.parseKeys(keys.text, keys.file)),
      queue,
      ...(storage !== undefined && {
        // Beside those of jobs, as they are kept for another time.
        links: new library.PictureLinks(library.openStore(`${storage.replace(/\/+$/, '')}/links`)),
      }),
      logger: { level: request.logLevel },
    });
    try {
      const stopped = untilStopped();
      await Promise.all(runners.map(({ ready }) => ready));
      const names = request.models.map(({ name }) => name).join(', ');
      process.stderr.write(`Serving ${names} on ${served.url}\n`);
      await stopped;
      process.stderr.write('Finishing what is in work; once more to stop at once.\n');
    } finally {
      await served.close();
    }
  },
});
