/** @file `calotype serve` as it was built, with the tiny model on one thread. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../cli/bin/calotype.js', import.meta.url));

/** A running command; `url` is empty if it ended. */
export interface ServeCommand {
  readonly process: ChildProcess;
  readonly url: string;
  /** What it wrote to standard error. */
  errors(): string;
}

/** Starts this repository's on a free port; it serves when this resolves, or has ended. */
export function startCommand(...args: string[]): Promise<ServeCommand> {
  return startServing(COMMAND, args);
}

/** The same for any installed command. */
export async function startServing(command: string, args: readonly string[]): Promise<ServeCommand> {
  const options = ['--port', '0', '--backend', 'cpu', '--threads', '1', '--log-level', 'error', ...args];
  const child = spawn(process.execPath, [command, 'serve', ...options], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let errors = '';
  const url = await new Promise<string>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
      const [, found] = / on (http\S+)\n/.exec(errors) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => resolve(''));
  });
  return { process: child, url, errors: () => errors };
}

/** Ids of the processes that draw for it. Linux only. */
export function runnersOf({ process: { pid } }: ServeCommand): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(' ').filter(Boolean).map(Number);
}
