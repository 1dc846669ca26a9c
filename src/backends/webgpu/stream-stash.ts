/**
 * @file What programs that stream their weights leave in the host's memory for those that come after them, so that nothing is
 * read or packed twice: a network is off the device between the phases of every call.
 */

import type { WeightPlacement } from '../../plan/stream.ts';

/** Weights that lie together as in a slot, in the host's memory. */
export type HostHeld =
  | { readonly kind: 'mapped'; readonly buffer: GPUBuffer }
  | { readonly kind: 'array'; readonly bytes: Uint8Array };

/** Segments that are alike. */
interface LeftSegments {
  /** Of their weights: JSON with the names of tensors. */
  readonly keys: readonly string[];
  readonly held: HostHeld[];
}

/** What the streams of a store left. */
export class StreamStash {
  readonly #free: (held: HostHeld) => void;
  readonly #count: (bytes: number) => void;
  #placement = '';
  /** Segments that no stream uses, by which weights are where in them. */
  readonly #segments = new Map<string, LeftSegments>();
  /** Weights as float8 in the order that kernels want, by their keys. */
  readonly #codes = new Map<string, Uint8Array>();

  /**
   * @param free frees a segment
   * @param count told of bytes of codes that are held from now on, negative where they are no longer
   */
  constructor(free: (held: HostHeld) => void, count: (bytes: number) => void) {
    this.#free = free;
    this.#count = count;
  }

  /** From now on there are streams of this placement: what was left by those of another is of no use. */
  begin({ hold, slotBytes, resident }: WeightPlacement): void {
    const placement = JSON.stringify([hold, slotBytes, ...resident]);
    if (placement !== this.#placement) this.clear();
    this.#placement = placement;
  }

  /** The segment of a stream with these weights at these places, if one was left. */
  take(offsets: ReadonlyMap<string, number>): HostHeld | undefined {
    return this.#segments.get(signatureOf(offsets))?.held.pop();
  }

  leave(offsets: ReadonlyMap<string, number>, held: HostHeld): void {
    const signature = signatureOf(offsets);
    const left = this.#segments.get(signature) ?? { keys: [...offsets.keys()], held: [] };
    this.#segments.set(signature, left);
    left.held.push(held);
  }

  codes(key: string): Uint8Array | undefined {
    return this.#codes.get(key);
  }

  leaveCodes(key: string, codes: Uint8Array): void {
    this.#codes.set(key, codes);
    this.#count(codes.byteLength);
  }

  /** Frees what holds one of these tensors: they are other ones now. */
  forget(tensors: ReadonlySet<string>): void {
    const names = [...tensors].map((tensor) => JSON.stringify(tensor));
    const isStale = (key: string): boolean => names.some((name) => key.includes(name));
    for (const [signature, { keys, held }] of this.#segments)
      if (keys.some(isStale)) {
        held.forEach(this.#free);
        this.#segments.delete(signature);
      }
    for (const [key, codes] of this.#codes)
      if (isStale(key)) {
        this.#count(-codes.byteLength);
        this.#codes.delete(key);
      }
  }

  /** Frees everything. */
  clear(): void {
    for (const { held } of this.#segments.values()) held.forEach(this.#free);
    for (const codes of this.#codes.values()) this.#count(-codes.byteLength);
    this.#segments.clear();
    this.#codes.clear();
  }
}

function signatureOf(offsets: ReadonlyMap<string, number>): string {
  return JSON.stringify([...offsets]);
}
