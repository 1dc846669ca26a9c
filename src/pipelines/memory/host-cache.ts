/**
 * @file Tensors in the host's memory: those of components that leave the device between the phases of a call, so that they come
 * back without their files being read. The first to be read are held, as far as there is room.
 */

import type { StoredDType } from '../../tensor/dtype.ts';
import type { HeldTensors } from './tensor-reader.ts';

/** A tensor as it was read. */
interface HeldTensor {
  readonly dtype: StoredDType;
  readonly bytes: Uint8Array;
}

/** The tensors of some components that the host holds. */
export class HostCache {
  readonly #components = new Map<string, Map<string, HeldTensor>>();
  #limit = 0;
  #bytes = 0;

  /** What it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most that it may hold; components are dropped until it does not hold more. */
  set limit(bytes: number) {
    this.#limit = bytes;
    for (const component of this.#components.keys()) if (this.#bytes > bytes) this.drop(component);
  }

  /** What a component's reader holds and finds its tensors in. */
  tensorsOf(component: string): HeldTensors {
    const held = (): Map<string, HeldTensor> | undefined => this.#components.get(component);
    const drop = (name: string): void => {
      this.#bytes -= held()?.get(name)?.bytes.byteLength ?? 0;
      held()?.delete(name);
    };
    return {
      get: (name, dtype) => {
        const known = held()?.get(name);
        return known?.dtype === dtype ? known.bytes : undefined;
      },
      put: (name, dtype, bytes) => {
        drop(name);
        // A view would keep the whole that it is a part of.
        const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
        if (this.#bytes + own.byteLength > this.#limit) return;
        const tensors = held() ?? new Map<string, HeldTensor>();
        this.#components.set(component, tensors);
        tensors.set(name, { dtype, bytes: own });
        this.#bytes += own.byteLength;
      },
      drop,
    };
  }

  /** Holds nothing of a component any more. */
  drop(component: string): void {
    for (const { bytes } of this.#components.get(component)?.values() ?? []) this.#bytes -= bytes.byteLength;
    this.#components.delete(component);
  }
}
