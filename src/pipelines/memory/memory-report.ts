/** @file Residency plans as plain data, for people. */

import type { ComponentPlan, Phase, PhaseOption, ResidencyPlan } from '../../plan/residency.ts';

/** What becomes of a component in a phase, for people. */
export interface ComponentReport {
  /** Its folder: `unet`. */
  readonly name: string;
  /** Whether its weights are `whole` on the device, held there as `float8`, or partly `streamed` from the host. */
  readonly weights: 'whole' | 'float8' | 'streamed';
  /** Weights on the device. */
  readonly weightBytes: number;
  /** Activations and what else a program takes. */
  readonly workBytes: number;
  /** What is copied or converted each time that the network runs. */
  readonly movedBytes: number;
  /** Whether it stays on the device from call to call, and is not loaded again by each. */
  readonly isKept: boolean;
}

/** The residency plan of a device as plain data. */
export interface DeviceMemoryReport {
  /** The backend's name. */
  readonly backend: string;
  /** Bytes that may be taken. */
  readonly budget: number;
  /** On the device at most, predicted. */
  readonly peakBytes: number;
  /** Of the host's memory at most, for what is not on the device all the time: see `MemoryOption.hostBudget`. */
  readonly hostBytes: number;
  /** In their order. */
  readonly phases: readonly {
    readonly phase: Phase;
    /** For people: `pictures decoded in tiles of 256 pixels`. */
    readonly how: string;
    /** What it means for the picture: the same, blended tiles, or rounded weights. */
    readonly kind: PhaseOption['kind'];
    readonly peakBytes: number;
    readonly components: readonly ComponentReport[];
  }[];
}

/** The plan of the device that denoises. */
export interface MemoryReport extends DeviceMemoryReport {
  /** Plans of the other devices that components are on, for the phases in which they take part. */
  readonly others: readonly DeviceMemoryReport[];
}

const HOLDS = { host: 'streamed', float8: 'float8' } as const;

/** A plan as plain data. */
export function reportPlan(
  backend: string,
  { budget, phases, kept, peakBytes }: ResidencyPlan,
  hostBytes: number,
): DeviceMemoryReport {
  const report = (name: string, plan: ComponentPlan): ComponentReport => ({
    name,
    weights: plan.placement ? HOLDS[plan.placement.hold] : 'whole',
    weightBytes: plan.weightBytes,
    workBytes: plan.workBytes,
    movedBytes: plan.movedBytes,
    isKept: kept.has(name),
  });
  return {
    backend,
    budget,
    peakBytes,
    hostBytes,
    phases: phases.map(({ phase, option, components, peakBytes: bytes }) => ({
      phase,
      how: option.label,
      kind: option.kind,
      peakBytes: bytes,
      components: [...components].map(([name, plan]) => report(name, plan)),
    })),
  };
}
