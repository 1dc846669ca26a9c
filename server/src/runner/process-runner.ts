/** @file A runner in a process of its own, so that a driver's crash costs one batch and the server stays responsive. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rebuildError } from 'calotype';
import { RunnerDiedError } from '../errors.ts';
import type { FromRunner, SentOutcome, ToRunner } from './protocol.ts';
import type { DrawOutcome, Runner, RunnerJob } from './runner.ts';

/** The program of a runner's process, which calls `runRunner`. */
export interface RunnerProgram {
  readonly name: string;
  /** Path of the script. */
  readonly script: string;
  readonly args: readonly string[];
  /** Added to the environment: which device is its own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a batch waits for. */
interface Drawing {
  readonly jobs: readonly RunnerJob[];
  readonly resolve: (outcomes: readonly DrawOutcome[]) => void;
  readonly reject: (reason: unknown) => void;
}

/** Milliseconds that a process has to end by itself. */
const END_GRACE = 5000;

/** Starts its process at once, and anew when a batch comes after it died. */
export class ProcessRunner implements Runner {
  readonly #program: RunnerProgram;
  #child: ChildProcess;
  #ready: Promise<void>;
  #drawing: Drawing | undefined;

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

  async draw(jobs: readonly RunnerJob[]): Promise<readonly DrawOutcome[]> {
    if (!this.#child.connected) {
      this.#child = this.#start();
      this.#ready = this.#whenReady(this.#child);
    }
    await this.#ready;
    const aborts = jobs.map((_, job) => () => this.#post({ abort: job }));
    try {
      return await new Promise<readonly DrawOutcome[]>((resolve, reject) => {
        this.#drawing = { jobs, resolve, reject };
        this.#post({ draw: jobs.map(({ request }) => request) });
        jobs.forEach(({ signal }, job) => {
          if (signal.aborted) aborts[job]();
          else signal.addEventListener('abort', aborts[job]);
        });
      });
    } finally {
      this.#drawing = undefined;
      jobs.forEach(({ signal }, job) => signal.removeEventListener('abort', aborts[job]));
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
    const { script, args, env } = this.#program;
    const child = fork(script, args, {
      env: { ...process.env, ...env },
      serialization: 'advanced',
      execArgv: [],
    });
    child.on('message', (message: FromRunner) => this.#hear(message));
    // The exit below tells what happened; without a listener the error would end the server.
    child.on('error', () => undefined);
    child.on('exit', (code, signal) => this.#drawing?.reject(this.#died(code, signal)));
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
    const drawing = this.#drawing;
    if (drawing === undefined) return;
    if ('step' in message) drawing.jobs[message.job].onStep(message.step);
    else if ('outcomes' in message)
      drawing.resolve(message.outcomes.map((sent, job) => outcomeOf(sent, drawing.jobs[job].signal)));
  }

  #died(code: number | null, signal: NodeJS.Signals | null): RunnerDiedError {
    return new RunnerDiedError(`the runner ${this.name} ended (${signal ?? `exit code ${code}`})`, {
      remedy: 'Try again; if it happens again, look at what the runner wrote to standard error',
    });
  }
}

function outcomeOf(sent: SentOutcome, signal: AbortSignal): DrawOutcome {
  if ('drawn' in sent) return sent;
  return { failed: signal.aborted ? signal.reason : rebuildError(sent.failed) };
}
