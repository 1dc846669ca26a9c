/** @file Shows how far a run is on standard error: a bar on a terminal, plain lines elsewhere, with the time left. */
import { SingleBar } from 'cli-progress';

/** How far a phase is. A new phase begins when its name differs from the last one's. */
export interface Advance {
  /** What is going on, in the words that people see: `loading`, `compiling`, `step`, `decoding`. */
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

export class Progress {
  readonly #stream: Sink;
  readonly #now: () => number;
  #bar: SingleBar | undefined;
  #phase: string | undefined;
  #enteredAt = 0;
  #spoken = 0;

  /** @param now a clock in milliseconds. */
  constructor(stream: Sink = process.stderr, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Reports an advance; also the first one, with nothing done, counts. */
  report(advance: Advance): void {
    if (advance.phase !== this.#phase) this.#enter(advance);
    const text = this.#textOf(advance);
    if (this.#stream.isTTY) {
      this.#bar?.setTotal(advance.total);
      this.#bar?.update(advance.done, { text });
    } else if (this.#isWorthALine(advance)) {
      this.#stream.write(`${text}\n`);
    }
  }

  /** Ends the last phase and leaves the line free. May be called more than once. */
  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#phase = undefined;
  }

  #enter({ phase, total }: Advance): void {
    this.end();
    this.#phase = phase;
    this.#enteredAt = this.#now();
    this.#spoken = 0;
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

  /** The start and end of a phase, and on the way every step but only each tenth of finer counts. */
  #isWorthALine({ done, total }: Advance): boolean {
    const stride = total <= 50 ? 1 : total / 10;
    if (done > 0 && done < total && done - this.#spoken < stride) return false;
    this.#spoken = done;
    return true;
  }

  #textOf({ phase, done, total, unit }: Advance): string {
    const count = unit === 'bytes' ? `${megabytes(done)}/${megabytes(total)} MB` : `${done}/${total}`;
    const elapsed = (this.#now() - this.#enteredAt) / 1000;
    const left =
      done > 0 && done < total ? `, about ${duration((elapsed / done) * (total - done))} left` : '';
    return `${phase} ${count}${left}`;
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
