/**
 * @file Runs workgroups: lanes in turns, each until it waits. At a barrier all lanes of the workgroup must come to the same
 * place, at what a subgroup does together all lanes of the subgroup; anything else is an error, as it would be on hardware.
 */

import type { Memory } from './memory.ts';
import type { Collective } from './subgroup.ts';

/** What a lane knows of itself: WGSL's builtin values. */
export interface LaneStart {
  readonly workgroup_id: readonly number[];
  readonly num_workgroups: readonly number[];
  readonly local_invocation_index: number;
  readonly subgroup_size: number;
}

/** What a lane waits for. */
type Request =
  | { readonly site: number; readonly ask: 'barrier' }
  | { readonly site: number; readonly ask: 'load'; load(): unknown }
  | { readonly site: number; readonly ask: Collective; readonly args: readonly unknown[] };

const barriers = new Map<number, Request>();

/** Waits for the workgroup. */
export function barrier(site: number): Request {
  const known = barriers.get(site) ?? { site, ask: 'barrier' };
  barriers.set(site, known);
  return known;
}

/** Waits for the workgroup and for what `load` reads, which is the same for all. */
export function uniformLoad(site: number, load: () => unknown): Request {
  return { site, ask: 'load', load };
}

/** A lane of a shader whose lanes wait for each other. */
export type Lane = Generator<Request, void, unknown>;

/** How a dispatch's workgroups run. */
export interface WorkgroupPlan {
  readonly lanes: number;
  readonly subgroupSize: number;
  /** Variables of the workgroup. */
  readonly shared: readonly Memory[];
}

/** Runs one workgroup of a shader whose lanes wait for each other. */
export function runWorkgroup(
  main: (env: LaneStart) => Lane,
  env: Omit<LaneStart, 'local_invocation_index' | 'subgroup_size'>,
  { lanes: count, subgroupSize, shared }: WorkgroupPlan,
): void {
  const lanes = Array.from({ length: count }, (_, lane) =>
    main({ ...env, local_invocation_index: lane, subgroup_size: subgroupSize }),
  );
  const answers: unknown[] = Array.from({ length: count });
  const advance = (lane: number): Request | undefined => {
    for (const { watch } of shared) if (watch) watch.agent = lane;
    const step = lanes[lane].next(answers[lane]);
    answers[lane] = undefined;
    return step.done === true ? undefined : step.value;
  };
  for (;;) {
    const waiting: (Request | undefined)[] = [];
    for (let first = 0; first < count; first += subgroupSize)
      waiting.push(
        ...runSubgroup(first, Math.min(count, first + subgroupSize), subgroupSize, advance, answers),
      );
    const request = agreed(waiting, 'workgroup');
    if (!request) return;
    // Once before what all load is read, and once after.
    for (const { watch } of shared) if (watch) watch.phase++;
    if (request.ask === 'load') answers.fill(request.load());
    for (const { watch } of shared) if (watch) watch.phase++;
  }
}

/** Runs the lanes of a subgroup until all of them wait for the workgroup or are done. */
function runSubgroup(
  first: number,
  end: number,
  subgroupSize: number,
  advance: (lane: number) => Request | undefined,
  answers: unknown[],
): (Request | undefined)[] {
  for (;;) {
    const waiting: (Request | undefined)[] = [];
    for (let lane = first; lane < end; lane++) waiting.push(advance(lane));
    if (!waiting.some((request) => typeof request?.ask === 'function')) return waiting;
    const request = agreed(waiting, 'subgroup');
    if (typeof request?.ask !== 'function') return waiting;
    const args = waiting.map((one) => (one && 'args' in one ? one.args : []));
    const found = request.ask({ subgroup: first / subgroupSize, args });
    for (let lane = first; lane < end; lane++) answers[lane] = found[lane - first];
  }
}

/** What all of them wait for; nothing if all are done. Throws Error where they do not wait together. */
function agreed(waiting: readonly (Request | undefined)[], who: string): Request | undefined {
  const [first] = waiting;
  if (waiting.some((request) => request?.site !== first?.site))
    throw new Error(`lanes of a ${who} wait at different places, or some have left`);
  return first;
}
