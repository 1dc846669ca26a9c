/** @file A runner in a process of its own, so that a driver's crash costs what it draws alone, and the server stays responsive. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rebuildError } from 'calotype';
import type { DrawResult } from '../draw-request.ts';
import { RunnerDiedError } from '../errors.ts';
import type { FromRunner, ToRunner } from './protocol.ts';
import type { Runner, RunnerJob } from './runner.ts';

/** The program of a runner's process, which calls `runRunner`. */
export interface RunnerProgram {
  readonly name: string;
  /** Path of the script. */
  readonly script: string;
  readonly args: readonly string[];
  /** A program, with its arguments, that starts Node in its own place: what keeps it on its CPUs. */
  readonly launcher?: readonly string[];
  /** Added to the environment: which device is its own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A job that waits for its process. */
interface Drawing {
  readonly job: RunnerJob;
  readonly resolve: (drawn: DrawResult) => void;
  readonly reject: (reason: unknown) => void;
}

/** Milliseconds that a process has to end by itself. */
const END_GRACE = 5000;

/** Starts its process at once, and anew when a job comes after it died. */
export class ProcessRunner implements Runner {
  readonly #program: RunnerProgram;
  #child: ChildProcess;
  #ready: Promise<void>;
  /** By number. */
  readonly #drawing = new Map<number, Drawing>();
  #next = 0;

  constructor(program: RunnerProgram) {
    this.#program = program;
    this.#child = this.#start();
    this.#ready = this.#whenReady(this.#child);
  }

  get name(): string {
    return this.#program.name;
  }

  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Process id, for people who watch it. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async draw(job: RunnerJob): Promise<DrawResult> {
    if (!this.#child.connected) {
      this.#child = this.#start();
      this.#ready = this.#whenReady(this.#child);
    }
    await this.#ready;
    const number = this.#next++;
    const abort = (): void => this.#post({ abort: number });
    try {
      return await new Promise<DrawResult>((resolve, reject) => {
        this.#drawing.set(number, { job, resolve, reject });
        this.#post({ draw: job.request, job: number });
        if (job.signal.aborted) abort();
        else job.signal.addEventListener('abort', abort);
      });
    } finally {
      this.#drawing.delete(number);
      job.signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    // It ends itself when its channel closes.
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), END_GRACE);
    await ended;
    clearTimeout(timer);
  }

  #start(): ChildProcess {
    const { script, args, env, launcher = [] } = this.#program;
    const [execPath, ...execArgv] = [...launcher, process.execPath];
    const child = fork(script, args, {
      env: { ...process.env, ...env },
      serialization: 'advanced',
      execPath,
      execArgv,
    });
    child.on('message', (message: FromRunner) => this.#hear(message));
    // The exit below tells what happened; without a listener the error would end the server.
    child.on('error', () => undefined);
    child.on('exit', (code, signal) => {
      // Nothing is sent to another process as long as these are here.
      for (const { reject } of this.#drawing.values()) reject(this.#died(code, signal));
    });
    return child;
  }

  async #whenReady(child: ChildProcess): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      child.on('message', (message: FromRunner) => {
        if ('ready' in message) resolve();
        else if ('obstacle' in message) reject(rebuildError(message.obstacle));
      });
      child.once('exit', (code, signal) => reject(this.#died(code, signal)));
    });
    // Whoever draws or asks meets the failure.
    ready.catch(() => undefined);
    return ready;
  }

  #post(message: ToRunner): void {
    // A process that is gone is noticed by its exit.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #hear(message: FromRunner): void {
    const drawing = 'job' in message ? this.#drawing.get(message.job) : undefined;
    if (drawing === undefined) return;
    const { job, resolve, reject } = drawing;
    if ('step' in message) job.onStep(message.step);
    else if ('drawn' in message) resolve(message.drawn);
    else if ('failed' in message)
      reject(job.signal.aborted ? job.signal.reason : rebuildError(message.failed));
  }

  #died(code: number | null, signal: NodeJS.Signals | null): RunnerDiedError {
    return new RunnerDiedError(`the runner ${this.name} ended (${signal ?? `exit code ${code}`})`, {
      remedy: 'Try again; if it happens again, look at what the runner wrote to standard error',
    });
  }
}
