/** @file A runner in a process of its own, so that a driver's crash costs what it draws alone, and the server stays responsive. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rebuildError } from 'calotype';
import type { DrawResult } from '../draw-request.ts';
import { RunnerDiedError } from '../errors.ts';
import type { FromRunner, ToRunner } from './protocol.ts';
import type { Runner, RunnerChange, RunnerJob } from './runner.ts';

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
  /** Seconds that it has to let go of a job that was given up, before it counts as hung and is killed. Default 60. */
  readonly abortSeconds?: number;
}

/** A job that waits for its process. */
interface Drawing {
  readonly job: RunnerJob;
  readonly resolve: (drawn: DrawResult) => void;
  readonly reject: (reason: unknown) => void;
}

/** Milliseconds that a process has to end by itself. */
const END_GRACE = 5000;
/** Default of `abortSeconds`. */
const ABORT = 60;
/** Milliseconds before a process that failed again is started anew: twice as many each time, and the most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 60_000;

/**
 * Starts its process at once, and anew when it ended after it was up: the first time at once, then after pauses that grow
 * until it has drawn something.
 */
export class ProcessRunner implements Runner {
  readonly #program: RunnerProgram;
  readonly ready: Promise<void>;
  #child: ChildProcess;
  #isUp = false;
  #isClosing = false;
  /** Why the process that is starting cannot begin, as it said itself. */
  #obstacle: Error | undefined;
  /** Ends since something was drawn. */
  #failures = 0;
  #restart: NodeJS.Timeout | undefined;
  readonly #listeners: ((change: RunnerChange) => void)[] = [];
  /** By number. */
  readonly #drawing = new Map<number, Drawing>();
  #next = 0;

  constructor(program: RunnerProgram) {
    this.#program = program;
    this.ready = new Promise<void>((resolve, reject) => {
      let hasBeenUp = false;
      this.watch(({ isUp, reason }) => {
        if (isUp) resolve();
        else if (hasBeenUp) this.#startLater();
        else reject(reason ?? new Error('it is closed'));
        hasBeenUp ||= isUp;
      });
    });
    // Whoever draws or asks meets the failure.
    this.ready.catch(() => undefined);
    this.#child = this.#start();
  }

  get name(): string {
    return this.#program.name;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Process id, for people who watch it. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  watch(listener: (change: RunnerChange) => void): void {
    this.#listeners.push(listener);
  }

  async draw(job: RunnerJob): Promise<DrawResult> {
    await this.ready;
    if (!this.#isUp)
      throw new RunnerDiedError(`the runner ${this.name} is being started anew`, {
        remedy: 'Try again in a while',
      });
    const number = this.#next++;
    let hung: NodeJS.Timeout | undefined;
    const abort = (): void => {
      this.#post({ abort: number });
      const child = this.#child;
      // One whose device hangs would keep its jobs for ever.
      hung = setTimeout(() => child.kill('SIGKILL'), (this.#program.abortSeconds ?? ABORT) * 1000);
    };
    try {
      return await new Promise<DrawResult>((resolve, reject) => {
        this.#drawing.set(number, { job, resolve, reject });
        this.#post({ draw: job.request, job: number });
        if (job.signal.aborted) abort();
        else job.signal.addEventListener('abort', abort);
      });
    } finally {
      clearTimeout(hung);
      this.#drawing.delete(number);
      job.signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#restart);
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
    this.#obstacle = undefined;
    const child = fork(script, args, {
      env: { ...process.env, ...env },
      serialization: 'advanced',
      execPath,
      execArgv,
    });
    child.on('message', (message: FromRunner) => this.#hear(message));
    let hasEnded = false;
    const end = (how: string): void => {
      if (hasEnded) return;
      hasEnded = true;
      this.#failures++;
      const reason = this.#obstacle ?? this.#died(how);
      // First, so that nobody who is told below sends a job here.
      this.#isUp = false;
      for (const { reject } of this.#drawing.values()) reject(reason);
      this.#tell({ isUp: false, reason });
    };
    // A program that cannot be started has no exit.
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
    return child;
  }

  #startLater(): void {
    if (this.#isClosing) return;
    const pause = this.#failures > 1 ? FIRST_PAUSE * 2 ** (this.#failures - 2) : 0;
    this.#restart = setTimeout(() => (this.#child = this.#start()), Math.min(pause, LONGEST_PAUSE));
  }

  #tell(change: RunnerChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #post(message: ToRunner): void {
    // A process that is gone is noticed by its exit.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #hear(message: FromRunner): void {
    if ('ready' in message) {
      this.#isUp = true;
      this.#tell({ isUp: true });
    } else if ('obstacle' in message) this.#obstacle = rebuildError(message.obstacle);
    else this.#hearOf(message);
  }

  #hearOf(message: Extract<FromRunner, { readonly job: number }>): void {
    const drawing = this.#drawing.get(message.job);
    if (drawing === undefined) return;
    const { job, resolve, reject } = drawing;
    if ('step' in message) job.onStep(message.step);
    else if ('drawn' in message) {
      this.#failures = 0;
      resolve(message.drawn);
    } else reject(job.signal.aborted ? job.signal.reason : rebuildError(message.failed));
  }

  #died(how: string): RunnerDiedError {
    return new RunnerDiedError(`the runner ${this.name} ended (${how})`, {
      remedy: 'Try again; if it happens again, look at what the runner wrote to standard error',
    });
  }
}
