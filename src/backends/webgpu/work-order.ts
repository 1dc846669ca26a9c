/**
 * @file The order of what goes to a device's queue. Most of it is submitted at once; but a run whose weights the host brings piece by
 * piece has to wait for room, and all that comes after it has to wait, too.
 */

/** Keeps work in the order in which it came. */
export class WorkOrder {
  readonly #onFailure: (error: unknown) => void;
  #last: Promise<void> | undefined;

  /** @param onFailure is told what goes wrong in work that waited */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Whether what comes now has to wait. */
  get isWaiting(): boolean {
    return this.#last !== undefined;
  }

  /** Does something at once, or after what waits; where it gives a promise, others wait for that. */
  do(work: () => Promise<void> | void): void {
    const waits = this.#last ? this.#last.then(work) : work();
    if (waits) this.#follow(waits.catch(this.#onFailure));
  }

  /** What some work gives, which is begun at once or after what waits. */
  after<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#last) return work();
    const result = this.#last.then(work);
    this.#follow(
      result.then(
        () => undefined,
        () => undefined,
      ),
    );
    return result;
  }

  #follow(work: Promise<void>): void {
    const last: Promise<void> = work.then(() => {
      if (this.#last === last) this.#last = undefined;
    });
    this.#last = last;
  }
}
