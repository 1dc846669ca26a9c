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
import { elementCount } from '../../tensor/shape.ts';
import { STORED_DTYPES } from '../../tensor/dtype.ts';
import { float8Cast } from './float8-cast.ts';
import { HostCache } from './host-cache.ts';

/** A part of a pipeline that can leave the device. */
export interface Component {
  readonly network: Network;
  /** Frees its programs and weights; the next use makes them again. */
  release(): void;
}

/** The budget of a device. */
export interface DeviceBudget {
  readonly bytes: number;
  /** Of the host's memory, for what is not on the device. */
  readonly hostBytes: number;
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
  readonly #cache = new HostCache();
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
    this.#cache.drop(network.name);
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
    this.#holdOnHost(next);
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
    const { keepHeld } = this.#shareOfHost(this.#plan);
    for (const [name, { placement }] of planned.components) {
      this.#present.add(name);
      const { network } = this.#components.get(name) ?? {};
      network?.keepWithin({ placement, keepBytes: spareBytes(this.#plan, name), keepHeld });
      await network?.settle(signal);
    }
  }

  /** Bytes of tensors that the host holds now, for components that are not on the device all the time. */
  get cachedBytes(): number {
    return this.#cache.bytes;
  }

  /** Bytes that the host will hold so, and for weights that move, by a plan. */
  hostBytes(plan: ResidencyPlan): number {
    const { keepHeld, cacheBytes } = this.#shareOfHost(plan);
    let stored = 0;
    for (const [name, { heldBytes, isLossy }] of partsOf(plan)) {
      const { network } = this.#components.get(name) ?? {};
      const all = network && !plan.kept.has(name) ? storedBytes(network, isLossy) : 0;
      stored += keepHeld ? Math.max(0, all - heldBytes) : all;
    }
    return heldBy(plan) + Math.min(stored, cacheBytes);
  }

  /** What of the host's memory is for weights that move, if there is room for all of them, and what for tensors that were read. */
  #shareOfHost(plan: ResidencyPlan): { readonly keepHeld: boolean; readonly cacheBytes: number } {
    const hostBytes = this.backend.isHost ? 0 : this.#budget.hostBytes;
    const held = heldBy(plan);
    const keepHeld = held <= hostBytes;
    return { keepHeld, cacheBytes: keepHeld ? hostBytes - held : hostBytes };
  }

  /** From now on tensors of components that will leave the device are held when they are read. */
  #holdOnHost(plan: ResidencyPlan): void {
    this.#cache.limit = this.#shareOfHost(plan).cacheBytes;
    for (const [name, { network }] of this.#components) {
      const isKept = plan.kept.has(name);
      if (isKept) this.#cache.drop(name);
      if (network.tensors) network.tensors.stored.held = isKept ? undefined : this.#cache.tensorsOf(name);
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

/** What there is of a component in a plan. */
interface PlannedPart {
  readonly weightBytes: number;
  readonly heldBytes: number;
  readonly isLossy: boolean;
}

/** The components of a plan with the most that they have in one of its phases. */
function partsOf({ phases }: ResidencyPlan): ReadonlyMap<string, PlannedPart> {
  const parts = new Map<string, PlannedPart>();
  for (const { components, option } of phases)
    for (const [name, { weightBytes, heldBytes }] of components) {
      const before = parts.get(name);
      parts.set(name, {
        weightBytes: Math.max(weightBytes, before?.weightBytes ?? 0),
        heldBytes: Math.max(heldBytes, before?.heldBytes ?? 0),
        isLossy: option.kind === 'lossy' || (before?.isLossy ?? false),
      });
    }
  return parts;
}

/** Bytes of all tensors of a network, as they are stored or, where that is `isLossy`, as float8. */
function storedBytes({ tensors }: Network, isLossy: boolean): number {
  if (!tensors) return 0;
  const { stored, shapes } = tensors;
  const cast = isLossy ? float8Cast(shapes) : undefined;
  return sum(
    [...shapes].map(([name, shape]) => {
      const { dtype } = stored.info(name);
      return elementCount(shape) * STORED_DTYPES[cast?.typeOf(name, dtype) ?? dtype];
    }),
  );
}

/** What the host holds of weights that move. */
function heldBy(plan: ResidencyPlan): number {
  return sum([...partsOf(plan).values()].map(({ heldBytes }) => heldBytes));
}

/** What nothing else needs, shared out among the components by their sizes. */
function spareBytes(plan: ResidencyPlan, component: string): number {
  const parts = partsOf(plan);
  const all = sum([...parts.values()].map(({ weightBytes }) => weightBytes));
  const share = (parts.get(component)?.weightBytes ?? 0) / Math.max(1, all);
  return share * Math.max(0, plan.budget - plan.peakBytes);
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
