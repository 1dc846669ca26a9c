/**
 * @file Runs this program again as a child, because some variables count only when a process starts.
 *
 * The child shares terminal, arguments and exit status, so that a shell cannot tell the two apart. Node 20 has no
 * `exec` that would replace the process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { onInterrupt } from './interrupt.ts';

/** Tells the child that it is one. */
const MARKER = 'CALOTYPE_RESTARTED';
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Whether this process is the child of a restart, which must not restart again. */
export function isRestarted(env: NodeJS.ProcessEnv = process.env): boolean {
  return env[MARKER] === '1';
}

/**
 * Starts the same program with variables added to the environment, waits for it and ends this process as the child
 * ended: with its exit code, or by the signal that ended it.
 */
export async function restartWith(added: Readonly<Record<string, string>>): Promise<never> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, ...added, [MARKER]: '1' },
    // The channel carries no messages; its end tells the child that this process is gone.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  // A child that is busy in one long computation cannot hear signals; the second Ctrl-C has to work all the same.
  const stopListening = onInterrupt((press) => {
    if (press > 1) setTimeout(() => child.kill('SIGKILL'), 500).unref();
  });
  const [code, signal] = await exitOf(child);
  stopListening();
  for (const name of FORWARDED) process.off(name, forward);
  if (signal !== null) {
    process.kill(process.pid, signal);
    // Reached only if the signal does not end a process by default.
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  process.exit(code ?? 1);
}

/** In the child of a restart: ends it when the parent has been killed, so that it does not go on unseen. */
export function exitWithParent(): void {
  process.once('disconnect', () => process.exit(1));
  // The channel alone must not keep a finished program alive.
  process.channel?.unref();
}

async function exitOf(
  child: ReturnType<typeof spawn>,
): Promise<[code: number | null, signal: NodeJS.Signals | null]> {
  await once(child, 'exit');
  return [child.exitCode, child.signalCode];
}
