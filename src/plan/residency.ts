/**
 * @file The residency plan: what of a pipeline is on the device when, so that a call stays within a budget of bytes.
 * Pure, property-tested.
 *
 * A call goes through phases. What fits stays from call to call; components that do not are there for their own phases
 * only; if one phase alone is too much, its weights are held as float8 where that is allowed, else they come through a
 * ring of slots; and if nothing exact fits, the picture goes through the VAE in tiles.
 */

import { OutOfMemoryError } from '../errors.ts';
import { sum, weightsOf, workOf, type PlanDemand } from './demand.ts';
import {
  hostHeldBytes,
  leastWeightBytes,
  movedBytes,
  placedBytes,
  placeWeights,
  type WeightHold,
  type WeightPlacement,
} from './stream.ts';

/** The phases of a call, in order: prompts, pictures that prompt, the picture to begin with, steps, and the picture that is made. */
export type Phase = 'text' | 'imagePrompts' | 'image' | 'denoise' | 'decode';

/** Programs by the component that they belong to. */
export type ComponentDemands = ReadonlyMap<string, readonly PlanDemand[]>;

/** A way to do a phase. */
export interface PhaseOption {
  /** `exact` ones give the same picture, `lossy` ones change weights, `blended` ones how the picture is put together. */
  readonly kind: 'exact' | 'lossy' | 'blended';
  /** For people. */
  readonly label: string;
  /** What it takes; asked for only where those before it did not do. */
  demands(): ComponentDemands;
  /** Makes components do it this way from now on. */
  apply?(): void;
}

/** A phase and the ways to do it, the preferred first. */
export interface PhaseDemand {
  readonly phase: Phase;
  readonly options: readonly PhaseOption[];
}

/** What there is to be planned with. */
export interface ResidencyLimits {
  /** Bytes on the device. */
  readonly budget: number;
  /** The option that says so, for the error. Default: `memory.budget`. */
  readonly field?: string;
  /** Of those, what the backend takes before anything is loaded. */
  readonly baseBytes: number;
  /** How the backend can hold weights otherwise than kernels read them. */
  readonly holds: ReadonlySet<WeightHold>;
}

/** What becomes of a component in a phase. */
export interface ComponentPlan {
  /** On the device, slots included. */
  readonly weightBytes: number;
  /** Activations and everything else. */
  readonly workBytes: number;
  /** Absent where all weights are on the device as kernels read them. */
  readonly placement?: WeightPlacement;
  /** What goes through the slots each time that the last program runs. */
  readonly movedBytes: number;
  /** What the host may hold of the weights that move, as it is wanted, while the component is off the device. */
  readonly heldBytes: number;
}

/** A phase as it will be done. */
export interface PhasePlan {
  readonly phase: Phase;
  readonly option: PhaseOption;
  readonly components: ReadonlyMap<string, ComponentPlan>;
  /** On the device at most, with everything that is kept. */
  readonly peakBytes: number;
}

/** A call within its budget. */
export interface ResidencyPlan {
  readonly budget: number;
  readonly phases: readonly PhasePlan[];
  /** Components that stay from phase to phase and from call to call; all others are there in their phases only. */
  readonly kept: ReadonlySet<string>;
  readonly peakBytes: number;
}

/** A phase by itself. */
interface Candidate {
  readonly option: PhaseOption;
  readonly demands: ComponentDemands;
  readonly hold: WeightHold | undefined;
  readonly bytes: number;
}

/** What can be tried, in this order: without changes to the picture first, and the quicker first. */
const ATTEMPTS: readonly { readonly kind: PhaseOption['kind']; readonly hold: WeightHold | undefined }[] = [
  { kind: 'exact', hold: undefined },
  { kind: 'exact', hold: 'float8' },
  { kind: 'lossy', hold: undefined },
  { kind: 'lossy', hold: 'float8' },
  { kind: 'exact', hold: 'host' },
  { kind: 'blended', hold: undefined },
  { kind: 'blended', hold: 'host' },
];

/**
 * Plans a call.
 * @throws OutOfMemoryError naming the smallest budget that works
 */
export function planResidency(phases: readonly PhaseDemand[], limits: ResidencyLimits): ResidencyPlan {
  const capacity = limits.budget - limits.baseBytes;
  const chosen = phases.map((phase) => {
    const candidates = candidatesOf(phase, limits.holds);
    let least = Number.POSITIVE_INFINITY;
    for (const candidate of candidates) {
      if (candidate.bytes <= capacity) return { phase: phase.phase, candidate, least: candidate.bytes };
      least = Math.min(least, candidate.bytes);
    }
    return { phase: phase.phase, candidate: undefined, least };
  });
  if (chosen.some(({ candidate }) => candidate === undefined)) throw tooSmall(chosen, limits);
  const taken = chosen.flatMap(({ phase, candidate }) => (candidate ? [{ phase, candidate }] : []));
  const kept = chooseKept(taken, capacity);
  const planned = taken.map(({ phase, candidate }): PhasePlan => {
    const outside = bytesOutside(taken, kept, candidate);
    const components = placeComponents(candidate, capacity - outside);
    const own = sum([...components.values()].map(({ weightBytes, workBytes }) => weightBytes + workBytes));
    const peakBytes = limits.baseBytes + outside + own + loadBytesOf(candidate);
    return { phase, option: candidate.option, components, peakBytes };
  });
  return {
    budget: limits.budget,
    phases: planned,
    kept,
    peakBytes: Math.max(limits.baseBytes, ...planned.map(({ peakBytes }) => peakBytes)),
  };
}

/** The ways to do a phase, the preferred first, with what they take at least. */
function* candidatesOf({ options }: PhaseDemand, holds: ReadonlySet<WeightHold>): Generator<Candidate> {
  const known = new Map<PhaseOption, ComponentDemands>();
  for (const { kind, hold } of ATTEMPTS) {
    if (hold !== undefined && !holds.has(hold)) continue;
    for (const option of options) {
      if (option.kind !== kind) continue;
      const demands = known.get(option) ?? option.demands();
      known.set(option, demands);
      const programs = [...demands.values()];
      const canHold = programs
        .flat()
        .some(({ weights }) => weights.some((weight) => weight.float8Bytes !== undefined));
      if (hold === 'float8' && !canHold) continue;
      const bytes = programs.map(
        (own) => workOf(own) + (hold ? leastWeightBytes(own, hold) : wholeBytes(own)),
      );
      yield { option, demands, hold, bytes: sum(bytes) + loadBytesOf({ demands }) };
    }
  }
}

function wholeBytes(programs: readonly PlanDemand[]): number {
  return sum(weightsOf(programs).map(({ bytes }) => bytes));
}

function loadBytesOf({ demands }: Pick<Candidate, 'demands'>): number {
  return Math.max(0, ...[...demands.values()].flat().map(({ loadBytes }) => loadBytes));
}

type Taken = readonly { readonly phase: Phase; readonly candidate: Candidate }[];

/** A component's programs of all phases. */
function programsOf(taken: Taken, component: string): readonly PlanDemand[] {
  return taken.flatMap(({ candidate }) => candidate.demands.get(component) ?? []);
}

/** What kept components take in a phase that is not theirs, and what they keep of other phases in one that is. */
function bytesOutside(taken: Taken, kept: ReadonlySet<string>, { demands }: Candidate): number {
  const bytes = (programs: readonly PlanDemand[]): number => workOf(programs) + wholeBytes(programs);
  return sum(
    [...kept].map((component) => bytes(programsOf(taken, component)) - bytes(demands.get(component) ?? [])),
  );
}

/** The components whose staying saves most; those whose weights move through slots leave no room for others. */
function chooseKept(taken: Taken, capacity: number): ReadonlySet<string> {
  if (taken.some(({ candidate }) => candidate.hold === 'host')) return new Set();
  const moving = taken.flatMap(({ candidate }) => (candidate.hold ? [...candidate.demands.keys()] : []));
  const components = [...new Set(taken.flatMap(({ candidate }) => [...candidate.demands.keys()]))].filter(
    (component) => !moving.includes(component),
  );
  let best: ReadonlySet<string> = new Set();
  let saved = 0;
  for (let subset = 1; subset < 2 ** components.length; subset++) {
    const kept = new Set(components.filter((_, i) => (subset & (2 ** i)) !== 0));
    const weights = sum([...kept].map((component) => wholeBytes(programsOf(taken, component))));
    const fits = taken.every(
      ({ candidate }) => candidate.bytes + bytesOutside(taken, kept, candidate) <= capacity,
    );
    if (fits && weights > saved) [best, saved] = [kept, weights];
  }
  return best;
}

/** Shares out the room of a phase. */
function placeComponents(candidate: Candidate, capacity: number): Map<string, ComponentPlan> {
  const { demands, hold } = candidate;
  let spare = capacity - candidate.bytes;
  const plans = new Map<string, ComponentPlan>();
  for (const [component, programs] of demands) {
    const workBytes = workOf(programs);
    const least = hold && leastWeightBytes(programs, hold);
    if (hold === undefined || least === undefined) {
      plans.set(component, {
        weightBytes: wholeBytes(programs),
        workBytes,
        movedBytes: 0,
        heldBytes: 0,
      });
      continue;
    }
    const placement = placeWeights(programs, hold, least + spare);
    const weightBytes = placedBytes(programs, placement);
    spare -= weightBytes - least;
    const last = programs.at(-1);
    const moved = last ? movedBytes(last, placement) : 0;
    const heldBytes = hostHeldBytes(programs, placement);
    plans.set(component, { weightBytes, workBytes, placement, movedBytes: moved, heldBytes });
  }
  return plans;
}

function tooSmall(
  chosen: readonly { readonly phase: Phase; readonly least: number }[],
  { budget, baseBytes, field = 'memory.budget' }: ResidencyLimits,
): OutOfMemoryError {
  const needs = chosen.reduce((most, phase) => (phase.least > most.least ? phase : most));
  const smallest = needs.least + baseBytes;
  return new OutOfMemoryError(
    `${budget} bytes are too few: the phase "${needs.phase}" takes ${smallest} (${Math.ceil(smallest / 2 ** 20)} MiB)`,
    {
      field,
      remedy: `Give a budget of ${smallest} bytes or more, or ask for a smaller picture or batch`,
    },
  );
}
