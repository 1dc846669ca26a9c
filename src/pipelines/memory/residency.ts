/**
 * @file Keeps a pipeline's calls within a budget of memory: plans what is on the device when, and moves components
 * between the phases of a call.
 */

import type { Backend } from '../../backends/backend.ts';
import {
  planResidency,
  type ComponentPlan,
  type Phase,
  type PhaseDemand,
  type PhaseOption,
  type ResidencyPlan,
} from '../../plan/residency.ts';
import type { MemoryBudget } from './memory-option.ts';
import type { Network } from '../network.ts';

/** A part of a pipeline that can leave the device. */
export interface Component {
  readonly network: Network;
  /** Frees its programs and weights; the next use makes them again. */
  release(): void;
}

/** What becomes of a component in a phase, for people. */
export interface ComponentReport {
  readonly name: string;
  /** Whether its weights are `whole` on the device, held there as `float8`, or partly `streamed` from the host. */
  readonly weights: 'whole' | 'float8' | 'streamed';
  readonly weightBytes: number;
  /** Activations and what else a program takes. */
  readonly workBytes: number;
  /** What is copied or converted each time that the network runs. */
  readonly movedBytes: number;
  /** Whether it stays on the device from call to call, and is not loaded again by each. */
  readonly isKept: boolean;
}

/** A residency plan as plain data. */
export interface MemoryReport {
  readonly budget: number;
  /** On the device at most, predicted. */
  readonly peakBytes: number;
  readonly phases: readonly {
    readonly phase: Phase;
    readonly how: string;
    readonly kind: PhaseOption['kind'];
    readonly peakBytes: number;
    readonly components: readonly ComponentReport[];
  }[];
}

const HOLDS = { host: 'streamed', float8: 'float8' } as const;

/** A plan as plain data. */
export function reportPlan({ budget, phases, kept, peakBytes }: ResidencyPlan): MemoryReport {
  const report = (name: string, plan: ComponentPlan): ComponentReport => ({
    name,
    weights: plan.placement ? HOLDS[plan.placement.hold] : 'whole',
    weightBytes: plan.weightBytes,
    workBytes: plan.workBytes,
    movedBytes: plan.movedBytes,
    isKept: kept.has(name),
  });
  return {
    budget,
    peakBytes,
    phases: phases.map(({ phase, option, components, peakBytes: bytes }) => ({
      phase,
      how: option.label,
      kind: option.kind,
      peakBytes: bytes,
      components: [...components].map(([name, plan]) => report(name, plan)),
    })),
  };
}

/** The memory of one pipeline. */
export class Residency {
  readonly budget: MemoryBudget;
  readonly #backend: Backend;
  readonly #components: ReadonlyMap<string, Component>;
  readonly #onNotice: (notice: string) => void;
  readonly #noticed = new Set<string>();
  /** Components that may be on the device. */
  readonly #present = new Set<string>();
  /** What the backend took before anything was loaded. */
  readonly #baseBytes: number;
  #plan: ResidencyPlan | undefined;

  constructor(
    budget: MemoryBudget,
    backend: Backend,
    components: ReadonlyMap<string, Component>,
    onNotice: (notice: string) => void,
  ) {
    this.budget = budget;
    this.#backend = backend;
    this.#components = components;
    this.#onNotice = onNotice;
    this.#baseBytes = backend.memory?.deviceBytes ?? 0;
  }

  /** The plan of a call. Throws OutOfMemoryError naming the smallest budget that works; nothing is allocated. */
  plan(phases: readonly PhaseDemand[]): ResidencyPlan {
    const { holds = new Set() } = this.#backend;
    return planResidency(phases, { budget: this.budget.bytes, baseBytes: this.#baseBytes, holds });
  }

  /** Plans a call that begins now. What another kind of call left on the device goes. */
  async begin(phases: readonly PhaseDemand[]): Promise<void> {
    const next = this.plan(phases);
    if (this.#plan === undefined || !isSame(this.#plan, next)) await this.#release([...this.#present]);
    this.#plan = next;
    for (const { option } of next.phases)
      if (option.kind !== 'exact' && !this.#noticed.has(option.label)) {
        this.#noticed.add(option.label);
        this.#onNotice(
          `${option.label}: nothing that leaves the picture as it is fits in ${next.budget} bytes of memory`,
        );
      }
  }

  /** Makes room for a phase of the call. */
  async enter(phase: Phase): Promise<void> {
    const planned = this.#plan?.phases.find((candidate) => candidate.phase === phase);
    if (!this.#plan || !planned) return;
    const { kept, budget, peakBytes } = this.#plan;
    await this.#release(
      [...this.#present].filter((name) => !kept.has(name) && !planned.components.has(name)),
    );
    planned.option.apply?.();
    for (const [name, { placement, weightBytes }] of planned.components) {
      this.#present.add(name);
      const { network } = this.#components.get(name) ?? {};
      network?.keepWithin({ placement, keepBases: weightBytes <= budget - peakBytes });
      await network?.settle();
    }
  }

  async #release(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#backend.idle();
    for (const name of names) {
      this.#components.get(name)?.release();
      this.#present.delete(name);
    }
    // Ranges are given back in the queue of the device's work.
    await this.#backend.idle();
  }
}

/** Whether what one plan left on the device serves another. */
function isSame(a: ResidencyPlan, b: ResidencyPlan): boolean {
  const summary = ({ kept, phases }: ResidencyPlan): string =>
    JSON.stringify([
      [...kept],
      phases.map(({ option, components, peakBytes }) => [option.label, peakBytes, [...components.keys()]]),
    ]);
  return summary(a) === summary(b);
}
