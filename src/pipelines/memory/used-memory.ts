/** @file The bytes that a call took, as its result tells them. */

import type { Backend } from '../../backends/backend.ts';
import type { Component } from './device-residency.ts';

/** Bytes that a call took on a device. */
export interface UsedMemory {
  /** The most that was held at one time. */
  readonly peakDeviceBytes: number;
  /** Of the host's memory, what the device reaches, and what is held for a budget. */
  readonly peakHostBytes: number;
}

/** Bytes that a call took where some of its components are. */
export interface ComponentMemory extends UsedMemory {
  /** The backend's name. */
  readonly backend: string;
  /** The components on it: `text_encoder`, `vae`. */
  readonly components: readonly string[];
}

/** What backends held at most during a call, where they count it. */
export interface CallMemory {
  /** Of the backend that denoises. */
  readonly memory?: UsedMemory;
  /** Of the other backends that components are on, if there are some. */
  readonly otherMemory?: readonly ComponentMemory[];
}

/**
 * What the backends of these components held since their meters were restarted.
 * @param cachedBytes of tensors that the host holds for all of them
 */
export function usedMemory(
  denoising: Backend,
  components: readonly Component[],
  cachedBytes = 0,
): CallMemory {
  const own = peaksOf(denoising);
  const memory = own && { ...own, peakHostBytes: own.peakHostBytes + cachedBytes };
  const backends = new Set(components.map(({ network }) => network.backend));
  backends.delete(denoising);
  const others = [...backends].flatMap((backend): ComponentMemory[] => {
    const peaks = peaksOf(backend);
    const placed = components.filter(({ network }) => network.backend === backend);
    return peaks
      ? [{ backend: backend.name, components: placed.map(({ network }) => network.name), ...peaks }]
      : [];
  });
  return { ...(memory && { memory }), ...(others.length > 0 && { otherMemory: others }) };
}

/** What two calls of one pipeline held at most. */
export function largerMemory(a: CallMemory, b: CallMemory): CallMemory {
  const otherMemory = a.otherMemory?.map((used, i) => ({ ...used, ...larger(used, b.otherMemory?.[i]) }));
  return { ...(a.memory && { memory: larger(a.memory, b.memory) }), ...(otherMemory && { otherMemory }) };
}

function larger(a: UsedMemory, b: UsedMemory = a): UsedMemory {
  return {
    peakDeviceBytes: Math.max(a.peakDeviceBytes, b.peakDeviceBytes),
    peakHostBytes: Math.max(a.peakHostBytes, b.peakHostBytes),
  };
}

function peaksOf({ memory }: Backend): UsedMemory | undefined {
  return memory && { peakDeviceBytes: memory.peakDeviceBytes, peakHostBytes: memory.peakHostBytes };
}
