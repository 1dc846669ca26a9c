/** @file Shows how far a run is on standard error: a bar on a terminal, plain lines elsewhere, with the time left. */
import { SingleBar } from 'cli-progress';

/** How far a phase is. A new phase begins when the name changes or the count falls. */
export interface Advance {
  /** What is going on, in the words that people see: `loading unet`, `step`. */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** What is counted; bytes are shown as MB. */
  readonly unit?: 'bytes';
}

/** Where progress goes: standard error, or a test's recorder. */
interface Sink {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** Without a terminal, phases of many quick parts say something this often; steps always do. */
const QUIET_MS = 5000;

/** Shorter times are not extrapolated. */
const LEAST_MS = 250;

export class Progress {
  readonly #stream: Sink;
  readonly #now: () => number;
  #bar: SingleBar | undefined;
  #last: Advance | undefined;
  #enteredAt = 0;
  /** The first advance of the phase that had something done, and when: steady work is timed from there. */
  #first: { readonly done: number; readonly at: number } | undefined;
  #spokenAt = 0;

  /** @param now a clock in milliseconds. */
  constructor(stream: Sink = process.stderr, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  report(advance: Advance): void {
    if (advance.phase !== this.#last?.phase || advance.done < this.#last.done) this.#enter(advance);
    this.#last = advance;
    const text = this.#textOf(advance);
    if (this.#stream.isTTY) {
      this.#bar?.setTotal(advance.total);
      this.#bar?.update(advance.done, { text });
    } else if (this.#isWorthALine(advance)) {
      this.#spokenAt = this.#now();
      this.#stream.write(`${text}\n`);
    }
  }

  /** Ends the last phase and leaves the line free. May be called more than once. */
  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#last = undefined;
  }

  #enter({ phase, total }: Advance): void {
    this.end();
    this.#enteredAt = this.#now();
    this.#spokenAt = this.#now();
    this.#first = undefined;
    if (this.#stream.isTTY) {
      // The default stream is standard error, as ours is when it is a terminal.
      this.#bar = new SingleBar({
        format: '{bar} {text}',
        barsize: 24,
        hideCursor: true,
        clearOnComplete: true,
      });
      this.#bar.start(total, 0, { text: phase });
    }
  }

  #isWorthALine({ phase, done, total }: Advance): boolean {
    if (phase === 'step') return true;
    return (total === 1 ? done === 0 : done === total) || this.#now() - this.#spokenAt >= QUIET_MS;
  }

  #textOf({ phase, done, total, unit }: Advance): string {
    if (total === 1) return phase;
    const count = unit === 'bytes' ? `${megabytes(done)}/${megabytes(total)} MB` : `${done}/${total}`;
    const left = this.#secondsLeft(done, total);
    return `${phase} ${count}${left === undefined ? '' : `, about ${duration(left)} left`}`;
  }

  /** By the time that parts took so far; unknown until there is a time that says something. */
  #secondsLeft(done: number, total: number): number | undefined {
    if (done === 0 || done === total) return undefined;
    const now = this.#now();
    this.#first ??= { done, at: now };
    const [spent, parts] =
      done > this.#first.done
        ? [now - this.#first.at, done - this.#first.done]
        : [now - this.#enteredAt, done];
    return spent < LEAST_MS ? undefined : ((spent / parts) * (total - done)) / 1000;
  }
}

/** `0.42 s`, `8.1 s`, `2 min 05 s`, `1 h 03 min`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
