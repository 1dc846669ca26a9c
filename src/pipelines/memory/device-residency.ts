/**
 * @file Keeps what a pipeline has on one device within a budget of memory: plans what is there when, and moves components
 * between the phases of a call.
 */

import type { Backend } from '../../backends/backend.ts';
import { sum } from '../../plan/demand.ts';
import {
  planResidency,
  type ComponentDemands,
  type Phase,
  type PhaseDemand,
  type ResidencyPlan,
} from '../../plan/residency.ts';
import type { Network } from '../network.ts';

/** A part of a pipeline that can leave the device. */
export interface Component {
  readonly network: Network;
  /** Frees its programs and weights; the next use makes them again. */
  release(): void;
}

/** The budget of a device. */
export interface DeviceBudget {
  readonly bytes: number;
  /** The option that says so. */
  readonly field: string;
}

/** The memory of one pipeline on one device. */
export class DeviceResidency {
  readonly backend: Backend;
  readonly #budget: DeviceBudget;
  readonly #components: Map<string, Component>;
  readonly #onNotice: (notice: string) => void;
  readonly #noticed = new Set<string>();
  /** Components that may be on the device. */
  readonly #present = new Set<string>();
  /** What the backend took before anything was loaded. */
  readonly #baseBytes: number;
  #plan: ResidencyPlan | undefined;

  /** @param components those on this device, by the names of their networks */
  constructor(
    budget: DeviceBudget,
    backend: Backend,
    components: ReadonlyMap<string, Component>,
    onNotice: (notice: string) => void,
  ) {
    this.backend = backend;
    this.#budget = budget;
    this.#components = new Map(components);
    this.#onNotice = onNotice;
    this.#baseBytes = backend.memory?.deviceBytes ?? 0;
  }

  /** From now on this is planned too. */
  add(component: Component): void {
    this.#components.set(component.network.name, component);
  }

  /** From now on it is not; whoever made it frees it. */
  remove({ network }: Component): void {
    this.#components.delete(network.name);
    this.#present.delete(network.name);
  }

  /** The plan of a call. Throws OutOfMemoryError naming the smallest budget that works; nothing is allocated. */
  plan(phases: readonly PhaseDemand[]): ResidencyPlan {
    const { holds = new Set() } = this.backend;
    const { bytes: budget, field } = this.#budget;
    const own = phases.flatMap((phase) => partOf(phase, this.#components) ?? []);
    return planResidency(own, { budget, field, baseBytes: this.#baseBytes, holds });
  }

  /** Goes over to a plan of a call that begins now. What another kind of call left on the device goes. */
  async begin(next: ResidencyPlan): Promise<void> {
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
  async enter(phase: Phase, signal: AbortSignal | undefined): Promise<void> {
    const planned = this.#plan?.phases.find((candidate) => candidate.phase === phase);
    if (!this.#plan || !planned) return;
    const { kept } = this.#plan;
    await this.#release(
      [...this.#present].filter((name) => !kept.has(name) && !planned.components.has(name)),
    );
    planned.option.apply?.();
    for (const [name, { placement }] of planned.components) {
      this.#present.add(name);
      const { network } = this.#components.get(name) ?? {};
      network?.keepWithin({ placement, keepBytes: spareBytes(this.#plan, name) });
      await network?.settle(signal);
    }
  }

  async #release(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.backend.idle();
    for (const name of names) {
      this.#components.get(name)?.release();
      this.#present.delete(name);
    }
    await (this.backend.reclaim?.() ?? this.backend.idle());
  }
}

/** What nothing else needs, shared out among the components by their sizes. */
function spareBytes({ budget, peakBytes, phases }: ResidencyPlan, component: string): number {
  const sizes = new Map<string, number>();
  for (const { components } of phases)
    for (const [name, { weightBytes }] of components)
      sizes.set(name, Math.max(weightBytes, sizes.get(name) ?? 0));
  const share = (sizes.get(component) ?? 0) / Math.max(1, sum([...sizes.values()]));
  return share * Math.max(0, budget - peakBytes);
}

/** What a phase takes of some components; undefined where none of them takes part. */
function partOf({ phase, options }: PhaseDemand, own: ReadonlyMap<string, unknown>): PhaseDemand | undefined {
  const demandsOf = (option: PhaseDemand['options'][number]): ComponentDemands =>
    new Map([...option.demands()].filter(([name]) => own.has(name)));
  const [first, ...rest] = options;
  const demands = demandsOf(first);
  if (demands.size === 0) return undefined;
  return {
    phase,
    options: [
      { ...first, demands: () => demands },
      ...rest.map((option) => ({ ...option, demands: () => demandsOf(option) })),
    ],
  };
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
