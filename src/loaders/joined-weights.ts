/** @file Weights of several networks that run as one graph, told apart by the beginnings of their tensors' names. */
import type { Bytes } from './byte-source.ts';
import type { TensorInfo, WeightSource } from './weight-source.ts';

/**
 * `main`, and each of `parts` under names that begin with its key and a dot; what is put into the map later is there too.
 * Closing it closes all.
 */
export function joinWeights(main: WeightSource, parts: ReadonlyMap<string, WeightSource>): WeightSource {
  return new JoinedWeights(main, parts);
}

class JoinedWeights implements WeightSource {
  readonly name: string;
  readonly #main: WeightSource;
  readonly #parts: ReadonlyMap<string, WeightSource>;

  constructor(main: WeightSource, parts: ReadonlyMap<string, WeightSource>) {
    this.name = main.name;
    this.#main = main;
    this.#parts = parts;
  }

  *names(): Iterable<string> {
    yield* this.#main.names();
    for (const [path, part] of this.#parts) for (const name of part.names()) yield `${path}.${name}`;
  }

  has(name: string): boolean {
    const [source, own] = this.#place(name);
    return source.has(own);
  }

  info(name: string): TensorInfo {
    const [source, own] = this.#place(name);
    return source.info(own);
  }

  async read(name: string, signal?: AbortSignal): Promise<Bytes> {
    const [source, own] = this.#place(name);
    return source.read(own, signal);
  }

  readChunks(name: string, maxBytes: number, signal?: AbortSignal): AsyncIterable<Bytes> {
    const [source, own] = this.#place(name);
    return source.readChunks(own, maxBytes, signal);
  }

  async close(): Promise<void> {
    for (const source of [this.#main, ...this.#parts.values()]) await source.close();
  }

  #place(name: string): readonly [WeightSource, string] {
    for (const [path, part] of this.#parts)
      if (name.startsWith(`${path}.`)) return [part, name.slice(path.length + 1)];
    return [this.#main, name];
  }
}
