/** @file A small program that restarts itself as the command does; restart.test.ts builds and runs it. */
import { surveyAdapters } from '../../cli/src/adapters.ts';
import { onInterrupt } from '../../cli/src/interrupt.ts';
import { prepareAdapters } from '../../cli/src/prepare.ts';
import { isRestarted } from '../../cli/src/restart.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

await prepareAdapters();
const [task, value = ''] = process.argv.slice(2);
switch (task) {
  case 'report': {
    const { adapters } = await surveyAdapters();
    const kinds = adapters.map(({ kind }) => kind);
    say(
      JSON.stringify({
        restarted: isRestarted(),
        arguments: process.argv.slice(2),
        execArgv: process.execArgv,
        kinds,
      }),
    );
    break;
  }
  case 'exit':
    process.exitCode = Number(value);
    break;
  case 'die':
    process.kill(process.pid, 'SIGKILL');
    break;
  case 'wait': {
    onInterrupt((press) => {
      say(`press ${press}`);
      setTimeout(() => process.exit(130), 300);
    });
    setInterval(() => undefined, 1000);
    say(`waiting ${process.pid}`);
    break;
  }
  case 'hang':
    process.on('SIGINT', () => undefined);
    say(`waiting ${process.pid}`);
    // Keeps the thread busy, as one long computation does.
    setTimeout(() => {
      for (;;) Math.random();
    }, 10);
    break;
  default:
    throw new Error(`unknown task ${task}`);
}
