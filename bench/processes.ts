/** @file Runs programs for benchmarks: calotype's command, Python, and what the card's memory does meanwhile. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import * as v from 'valibot';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VENV = join(ROOT, 'bench/.venv');

/** The command that is timed; $CALOTYPE names another build of it. */
export const CALOTYPE = process.env['CALOTYPE'] ?? join(ROOT, 'cli/bin/calotype.js');

/** The options of a comparison, and what is left for the command that it runs. */
export function readOwnOptions<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  own: T,
) {
  const { values, tokens } = parseArgs({ args: [...args], strict: false, tokens: true, options: own });
  return { values, rest: otherOptions(tokens, own) };
}

/** Arguments that are not among a preset's own options. */
function otherOptions(
  tokens: NonNullable<ReturnType<typeof parseArgs>['tokens']>,
  own: Readonly<Record<string, unknown>>,
): string[] {
  return tokens.flatMap((token) => {
    if (token.kind === 'positional') return [token.value];
    return token.kind === 'option' && !(token.name in own)
      ? [token.value === undefined ? token.rawName : `${token.rawName}=${token.value}`]
      : [];
  });
}

/** Writes a line. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs a program to its end; throws when it fails. */
export function run(
  program: string,
  args: readonly string[],
  stderr: 'inherit' | 'ignore' = 'inherit',
): { readonly stdout: string; readonly seconds: number } {
  const begin = performance.now();
  const { status, stdout, error } = spawnSync(program, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', stderr],
  });
  if (error || status !== 0) throw new Error(`${program} ${args.join(' ')} failed`, { cause: error });
  return { stdout: stdout.trimEnd(), seconds: (performance.now() - begin) / 1000 };
}

/** Makes a folder, and a function that removes it. */
function temporaryFolder(): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'calotype-bench-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Calls a function with a folder that is gone afterwards. */
export function inFolder<T>(use: (folder: string) => T): T {
  const { folder, remove } = temporaryFolder();
  try {
    return use(folder);
  } finally {
    remove();
  }
}

/** The same for a function that takes its time. */
export async function whileInFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const { folder, remove } = temporaryFolder();
  try {
    return await use(folder);
  } finally {
    remove();
  }
}

/** What `calotype bench` prints, and its figures. */
export function bench<T extends v.GenericSchema>(
  schema: T,
  args: readonly string[],
): { readonly text: string; readonly figures: v.InferOutput<T> } {
  return inFolder((folder) => {
    const file = join(folder, 'figures.json');
    const { stdout } = run(process.execPath, [CALOTYPE, 'bench', ...args, '--json', file]);
    return { text: stdout, figures: v.parse(schema, JSON.parse(readFileSync(file, 'utf8'))) };
  });
}

/** Whether a Python can do something. */
export function can(python: string, program: string): boolean {
  return spawnSync(python, ['-c', program], { stdio: 'ignore' }).status === 0;
}

/**
 * A Python that has torch and diffusers: $PYTHON, python3, or that of bench/.venv, which is made here if need be.
 * @returns undefined, and says so, if it cannot be had
 */
export function findPython(): string | undefined {
  const needs = 'import torch, diffusers, transformers';
  const own = join(VENV, 'bin/python');
  const found = [process.env['PYTHON'], 'python3', own].find(
    (python) => python !== undefined && can(python, needs),
  );
  if (found !== undefined) return found;
  try {
    print(`installing torch and diffusers into ${VENV}`);
    if (!existsSync(own)) run('python3', ['-m', 'venv', VENV]);
    run(own, ['-m', 'pip', 'install', '--quiet', 'torch', 'diffusers==0.42.1', 'transformers']);
    run(own, ['-c', needs]);
    return own;
  } catch (error) {
    print(`torch is not compared: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** The NVIDIA card and its driver, or undefined where nvidia-smi finds none. */
export function nvidiaCard(): string | undefined {
  const query = ['--query-gpu=name,driver_version', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0].trim() : undefined;
}

/** A look at how much of an NVIDIA card's memory is in use, by the driver. */
export interface MemoryWatch {
  /** How much more was in use at most since the watch began than when it began; undefined without such a card. */
  peak(): number | undefined;
  end(): void;
}

/** Begins to look, ten times a second; while this process waits for another, too. */
export function watchMemory(): MemoryWatch {
  if (nvidiaCard() === undefined) return { peak: () => undefined, end: () => undefined };
  const { folder, remove } = temporaryFolder();
  const file = join(folder, 'memory');
  const descriptor = openSync(file, 'w');
  const query = ['--query-gpu=memory.used', '--format=csv,noheader,nounits'];
  const now = (): number => Number(run('nvidia-smi', query).stdout.split('\n')[0]);
  const before = now();
  const watcher = spawn('nvidia-smi', [...query, '-lms', '100'], { stdio: ['ignore', descriptor, 'ignore'] });
  return {
    peak() {
      // The last line may be half written.
      const used = readFileSync(file, 'utf8').split('\n').slice(0, -1).map(Number);
      return (Math.max(before, now(), ...used) - before) * 2 ** 20;
    },
    end() {
      watcher.kill();
      closeSync(descriptor);
      remove();
    },
  };
}

/** Calls a function; `bytes` is the peak of a watch meanwhile. */
export function watchingMemory<T>(use: () => T): { readonly result: T; readonly bytes: number | undefined } {
  const watch = watchMemory();
  try {
    return { result: use(), bytes: watch.peak() };
  } finally {
    watch.end();
  }
}

/** The last line that a program printed, as JSON. */
export function lastLine(stdout: string): unknown {
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1));
}

/** Bytes for people. */
export function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : `${(bytes / 1e6).toFixed(0)} MB`;
}
