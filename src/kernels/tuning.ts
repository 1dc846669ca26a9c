/**
 * @file Autotuning: measures which candidates run the nodes of a plan fastest, the likeliest and heaviest first, and stops
 * when its time is up. What it did not reach stays with the kernels' own choice, and is taken up the next time.
 */

import { predictMs, type DeviceSpeeds } from './cost.ts';
import type { Node } from '../graph/ops.ts';
import type { KernelContext } from './kernel.ts';
import { candidateName, candidatesFor, type Candidate, type SelectionPolicy } from './selection.ts';
import { tuningKey } from './tuning-key.ts';

/** Nodes with one tuning key. */
export interface TuningJob {
  readonly key: string;
  /** One of the nodes. */
  readonly node: Node;
  readonly context: KernelContext;
  /** What is taken unmeasured, then the likeliest others. */
  readonly candidates: readonly Candidate[];
  /** Milliseconds that all of the nodes should take. */
  readonly predictedMs: number;
}

/** Candidates of a node that are measured, at most; and how much slower than the best they may be predicted to be. */
const MOST_CANDIDATES = 6;
const MOST_SLOWER = 3;

/**
 * What there is to measure for some nodes: those with several candidates and without a row, the heaviest first.
 * @param known keys that have a row
 */
export function tuningJobs(
  nodes: readonly { readonly node: Node; readonly context: KernelContext }[],
  speeds: DeviceSpeeds,
  table: Pick<SelectionPolicy, 'kernels' | 'without'>,
  known: ReadonlyMap<string, string>,
): TuningJob[] {
  const jobs = new Map<string, TuningJob>();
  for (const { node, context } of nodes) {
    const key = tuningKey(node, context);
    if (key === undefined || known.has(key)) continue;
    const job = jobs.get(key);
    const { predictedMs, candidates } = job ?? rank(node, context, speeds, table);
    const before = job?.predictedMs ?? 0;
    jobs.set(key, {
      key,
      node,
      context,
      candidates,
      predictedMs: before + (job ? cheapest(node, context, candidates, speeds) : predictedMs),
    });
  }
  return [...jobs.values()]
    .filter(({ candidates }) => candidates.length > 1)
    .toSorted((a, b) => b.predictedMs - a.predictedMs);
}

function priceOf(
  node: Node,
  context: KernelContext,
  { kernel, variant }: Candidate,
  speeds: DeviceSpeeds,
): number {
  const price = kernel.price(node, { ...context, variant });
  return price === undefined ? Infinity : predictMs(price, speeds);
}

function cheapest(
  node: Node,
  context: KernelContext,
  candidates: readonly Candidate[],
  speeds: DeviceSpeeds,
): number {
  return Math.min(...candidates.map((candidate) => priceOf(node, context, candidate, speeds)));
}

function rank(
  node: Node,
  context: KernelContext,
  speeds: DeviceSpeeds,
  table: Pick<SelectionPolicy, 'kernels' | 'without'>,
): Pick<TuningJob, 'candidates' | 'predictedMs'> {
  const priced = [...candidatesFor(node, context, table)]
    .map((candidate) => ({ candidate, ms: priceOf(node, context, candidate, speeds) }))
    .filter(({ ms }, i) => i === 0 || ms < Infinity);
  const best = Math.min(...priced.map(({ ms }) => ms));
  const [usual, ...others] = priced;
  if (usual === undefined) return { candidates: [], predictedMs: 0 };
  const likely = others
    .filter(({ ms }) => ms <= MOST_SLOWER * best)
    .toSorted((a, b) => a.ms - b.ms)
    .slice(0, MOST_CANDIDATES - 1);
  return {
    candidates: [usual, ...likely].map(({ candidate }) => candidate),
    predictedMs: best < Infinity ? best : 0,
  };
}

/** What measures, and for how long it may. */
export interface TuningBench {
  /** Milliseconds that a candidate takes; undefined if it cannot be run, `late` if it cannot be begun in the time that is left. */
  measure(job: TuningJob, candidate: Candidate, leftMs: number): Promise<number | 'late' | undefined>;
  /** Milliseconds since some moment. */
  now(): number;
  readonly budgetMs: number;
}

/** A candidate must be this much faster than the usual one to be taken: less is noise. */
const LEAST_GAIN = 0.03;

/** Measures jobs in order until the time is up; the rows that it found, by key. A job is finished or left out. */
export async function tune(
  jobs: readonly TuningJob[],
  { measure, now, budgetMs }: TuningBench,
): Promise<Map<string, string>> {
  const rows = new Map<string, string>();
  const end = now() + budgetMs;
  for (const job of jobs) {
    let best: { readonly name: string; readonly ms: number } | undefined;
    for (const candidate of job.candidates) {
      const left = end - now();
      const ms = left > 0 ? await measure(job, candidate, left) : 'late';
      if (ms === 'late') return rows;
      if (ms !== undefined && (best === undefined || ms < (1 - LEAST_GAIN) * best.ms))
        best = { name: candidateName(candidate), ms };
    }
    if (best) rows.set(job.key, best.name);
  }
  return rows;
}
