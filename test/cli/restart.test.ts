/** @file A restarted program behaves to a shell as if it had not been restarted, and finds an adapter. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsdown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { softwareAdapterObstacle } from '../../cli/src/software-adapter.ts';
import { wasm } from '../../tools/wasm-plugin.ts';
import { wgsl } from '../../tools/wgsl-plugin.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let program: string;

beforeAll(async () => {
  // Below node_modules, so that the built program finds its packages.
  folder = await mkdtemp(join(repository, 'node_modules', '.calotype-restart-'));
  program = join(folder, 'program.js');
  await build({
    config: false,
    cwd: repository,
    entry: { program: 'test/cli/restart-program.ts' },
    outDir: folder,
    platform: 'node',
    dts: false,
    fixedExtension: false,
    logLevel: 'silent',
    plugins: [wgsl, wasm],
    alias: { calotype: join(repository, 'src/index.ts') },
    deps: { alwaysBundle: ['calotype'] },
  });
});

afterAll(() => rm(folder, { recursive: true }));

interface Run {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

function start(argv: readonly string[], execArgv: readonly string[] = []): Run {
  // A process group of its own, as a shell gives to a command.
  const process_ = spawn(process.execPath, [...execArgv, program, ...argv], {
    env: { ...process.env, CALOTYPE_RESTARTED: '', XDG_CACHE_HOME: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  let output = '';
  process_.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(process_, 'close').then(() => ({
    code: process_.exitCode,
    signal: process_.signalCode,
  }));
  return { process: process_, output: () => output, ended };
}

/** The process id that the restarted program tells once it waits. */
async function waiting(run: Run): Promise<number> {
  await expect.poll(run.output, { timeout: 20_000 }).toMatch(/^waiting \d+\n/);
  return Number(/\d+/.exec(run.output())?.[0]);
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe.skipIf(softwareAdapterObstacle() !== undefined)('a restarted program', () => {
  it('gets its arguments and sees the software adapter', async () => {
    const run = start(['report', 'a red apple, 3D', '--x'], ['--no-warnings']);
    expect(await run.ended).toEqual({ code: 0, signal: null });
    const report: unknown = JSON.parse(run.output());
    expect(report).toMatchObject({
      restarted: true,
      arguments: ['report', 'a red apple, 3D', '--x'],
      execArgv: ['--no-warnings'],
      kinds: expect.arrayContaining(['software']) as unknown,
    });
  });

  it('passes its exit code on', async () => {
    expect(await start(['exit', '7']).ended).toEqual({ code: 7, signal: null });
  });

  it('passes on the signal that ended it', async () => {
    expect(await start(['die']).ended).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('hears Ctrl-C of a terminal, which goes to both processes, once', async () => {
    const run = start(['wait']);
    await waiting(run);
    process.kill(-run.process.pid!, 'SIGINT');
    expect(await run.ended).toEqual({ code: 130, signal: null });
    expect(run.output().match(/press/g)).toHaveLength(1);
  });

  it('hears an interrupt that is sent to the first process only', async () => {
    const run = start(['wait']);
    await waiting(run);
    run.process.kill('SIGINT');
    expect(await run.ended).toEqual({ code: 130, signal: null });
    expect(run.output().match(/press/g)).toHaveLength(1);
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)('ends by %s like the first process', async (signal) => {
    const run = start(['wait']);
    const pid = await waiting(run);
    run.process.kill(signal);
    expect(await run.ended).toEqual({ code: null, signal });
    expect(isAlive(pid)).toBe(false);
  });

  it('does not outlive a first process that was killed', async () => {
    const run = start(['wait']);
    await waiting(run);
    run.process.kill('SIGKILL');
    // Standard output is closed only when the restarted program, which shares it, has ended too.
    expect(await run.ended).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('ends at the second Ctrl-C even when it is too busy to hear it', async () => {
    const run = start(['hang']);
    const pid = await waiting(run);
    process.kill(-run.process.pid!, 'SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(isAlive(pid)).toBe(true);
    process.kill(-run.process.pid!, 'SIGINT');
    expect(await run.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect(isAlive(pid)).toBe(false);
  });
});
