/** @file What stable-diffusion-webui keeps for its one user, kept for each caller: options, and the job in work. */
import type { DrawStep } from '../../draw-request.ts';
import type { Caller } from '../../limits/keys.ts';
import type { WebuiOptions } from './schemas.ts';

/** A caller's job in work. */
export class WebuiProgress {
  readonly begun = Date.now();
  readonly #abort = new AbortController();
  step: DrawStep | undefined;
  preview: Uint8Array | undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  onStep(step: DrawStep): void {
    this.step = step;
    this.preview = step.previews[0] ?? this.preview;
  }

  interrupt(): void {
    this.#abort.abort(new DOMException('The job was interrupted', 'AbortError'));
  }
}

/** One caller's state. */
export interface Session {
  options: WebuiOptions;
  /** In the order they came. */
  readonly jobs: Set<WebuiProgress>;
}

/** Sessions that are remembered; callers without keys are addresses, of which there is no end. */
const MOST = 1000;

/** The sessions of a server; the one that was quiet longest is forgotten first. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();

  of({ name }: Caller): Session {
    const session = this.#sessions.get(name) ?? { options: {}, jobs: new Set() };
    this.#sessions.delete(name);
    this.#sessions.set(name, session);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > MOST) this.#sessions.delete(oldest);
    return session;
  }
}
