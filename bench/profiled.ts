/**
 * @file Preloaded into the processes of a server (`node --import`): each leaves a profile of its main thread in the folder
 * $CALOTYPE_PROFILES when it ends.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { basename, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { MICROSECONDS_A_SAMPLE, PROFILES_VARIABLE } from './profiles.ts';

const folder = process.env[PROFILES_VARIABLE];
const [, script = 'node'] = process.argv;
if (folder !== undefined && isMainThread) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: MICROSECONDS_A_SAMPLE });
  session.post('Profiler.start');
  process.on('exit', () => {
    session.post('Profiler.stop', (_error, result) =>
      writeFileSync(join(folder, `${basename(script)}.${process.pid}`), JSON.stringify(result.profile)),
    );
  });
}
