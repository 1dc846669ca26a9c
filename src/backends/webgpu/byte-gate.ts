/** @file Lets work in as long as the bytes that it holds in memory are few, in the order in which it came. */

/** A gate for work that holds bytes; work larger than all that may be held gets in when there is no other. */
export class ByteGate {
  readonly #most: number;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];
  #held = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Runs some work once there is room for its bytes. */
  async hold<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((enter) => {
      this.#waiting.push({ bytes, enter });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      this.#held -= bytes;
      this.#admit();
    }
  }

  #admit(): void {
    for (let next = this.#waiting.at(0); next; next = this.#waiting.at(0)) {
      if (this.#held > 0 && this.#held + next.bytes > this.#most) return;
      this.#held += next.bytes;
      this.#waiting.shift();
      next.enter();
    }
  }
}
