/** @file Runs a guest in Deno. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import * as v from 'valibot';
import type { Bundle } from './bundle.ts';
import type { Guest } from './guest.ts';

const replySchema = v.union([v.strictObject({ value: v.string() }), v.strictObject({ error: v.string() })]);

/** Errors quote this much of what Deno wrote to standard error. */
const QUOTED = 2000;

/** A guest in a process of its own. */
export interface DenoGuest {
  readonly ask: Guest;
  /** Ends the process and waits for that. */
  close(): Promise<void>;
}

/**
 * Starts `program.js` of a bundle in Deno, with no permissions but to read the environment, the bundle and `readable`.
 * @param environment added to this process's own
 */
export function startDeno(
  deno: string,
  bundle: Bundle,
  readable: readonly string[],
  environment: Readonly<Record<string, string>>,
): DenoGuest {
  const permissions = [
    '--no-prompt',
    '--no-remote',
    '--allow-env',
    `--allow-read=${[bundle.folder, ...readable].join(',')}`,
  ];
  const child = spawn(deno, ['run', '--no-config', ...permissions, 'program.js'], {
    cwd: bundle.folder,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', DENO_DIR: bundle.folder, ...environment },
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => (complaints = (complaints + String(chunk)).slice(-QUOTED)));
  const waiting: { resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const reply = v.parse(replySchema, JSON.parse(line));
    const asker = waiting.shift();
    if ('value' in reply) asker?.resolve(reply.value);
    else asker?.reject(new Error(`in Deno: ${reply.error}`));
  });
  let ended: Error | undefined;
  const exit = new Promise<void>((resolve) => {
    const end = (how: string): void => {
      ended = new Error(`Deno ended (${how}): ${complaints}`);
      for (const { reject } of waiting.splice(0)) reject(ended);
      resolve();
    };
    child.on('error', (error) => end(error.message));
    child.on('close', (code, signal) => end(signal ?? `exit code ${code}`));
  });
  return {
    ask: async (question) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(question)}\n`);
      }),
    async close() {
      child.kill();
      await exit;
    },
  };
}
