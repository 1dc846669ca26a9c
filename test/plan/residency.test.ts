/** @file Property tests of memory plans: budgets are kept, the smallest one works, and streams miss nothing. */

import { describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/errors.ts';
import { sum, type PlanDemand } from '../../src/plan/demand.ts';
import {
  planResidency,
  type Phase,
  type PhaseDemand,
  type PhaseOption,
  type ResidencyPlan,
} from '../../src/plan/residency.ts';
import {
  leastWeightBytes,
  movedBytes,
  placedBytes,
  placeWeights,
  segmentsOf,
  type WeightHold,
} from '../../src/plan/stream.ts';
import { seededRandom } from '../cases/case.ts';

const SEEDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const NOTHING = new Set<WeightHold>();
const BOTH = new Set<WeightHold>(['host', 'float8']);

/** Programs with large and small weights, some of which are read by several dispatches. */
function randomProgram(random: () => number, name: string): PlanDemand {
  const whole = (below: number): number => Math.floor(random() * below);
  const dispatches = 20 + whole(30);
  return {
    workBytes: whole(1_000_000),
    tensors: [{ name: 'shared', bytes: whole(10_000) }],
    weights: Array.from({ length: 40 }, (_, i) => {
      const bytes = 16 * (1 + whole(i % 3 === 0 ? 200 : 40_000));
      const uses = new Set(Array.from({ length: 1 + whole(2) }, () => whole(dispatches)));
      return {
        key: `${name}.${i}`,
        bytes,
        ...(i % 2 === 0 && { float8Bytes: bytes / 2 }),
        dispatches: [...uses].sort((a, b) => a - b),
      };
    }),
    loadBytes: whole(1000),
  };
}

describe.each(SEEDS)('weights of random programs %s', (seed) => {
  const random = seededRandom(seed);
  const programs = ['once', 'often'].map((name) => randomProgram(random, name));

  it.each(['host', 'float8'] as const)('are placed within any capacity, held by %s', (hold) => {
    const least = leastWeightBytes(programs, hold);
    for (const more of [0, 1, 5_000, 300_000, 5_000_000, 100_000_000]) {
      const placement = placeWeights(programs, hold, least + more);
      expect(placedBytes(programs, placement)).toBeLessThanOrEqual(least + more);
      if (more === 100_000_000) expect(movedBytes(programs[1], placement)).toBe(0);
    }
    const moved = [0, 1_000_000, 3_000_000].map((more) =>
      movedBytes(programs[1], placeWeights(programs, hold, least + more)),
    );
    expect(moved.toSorted((a, b) => b - a)).toEqual(moved);
  });

  it('come through slots that they fit into, each where it is read', () => {
    for (const more of [0, 400_000]) {
      const placement = placeWeights(programs, 'host', leastWeightBytes(programs, 'host') + more);
      for (const { weights } of programs) {
        const count = Math.max(...weights.flatMap(({ dispatches }) => dispatches)) + 1;
        const segments = segmentsOf(weights, count, placement);
        expect(segments.map(({ from }) => from)).toEqual([0, ...segments.slice(0, -1).map(({ to }) => to)]);
        expect(segments.at(-1)?.to).toBe(count);
        for (const { bytes, offsets } of segments) {
          expect(bytes).toBeLessThanOrEqual(placement.slotBytes);
          const ranges = [...offsets]
            .map(([key, offset]) => [offset, offset + (weights.find((one) => one.key === key)?.bytes ?? 0)])
            .sort(([a], [b]) => a - b);
          ranges.forEach(([start], i) => expect(start).toBeGreaterThanOrEqual(i > 0 ? ranges[i - 1][1] : 0));
        }
        for (const { key, dispatches } of weights)
          for (const dispatch of dispatches) {
            const segment = segments.find(({ from, to }) => from <= dispatch && dispatch < to);
            expect(placement.resident.has(key) || segment?.offsets.has(key)).toBe(true);
          }
      }
    }
  });
});

/** A pipeline of three components, whose decoder can do with less by changing the picture. */
function randomPhases(seed: string, lossy: boolean): PhaseDemand[] {
  const random = seededRandom(seed);
  const option = (kind: PhaseOption['kind'], name: string, programs: readonly PlanDemand[]): PhaseOption => ({
    kind,
    label: `${kind} ${name}`,
    demands: () => new Map([[name, programs]]),
  });
  const own = (name: string) => [randomProgram(random, name)];
  const [text, unet, vae] = ['text', 'unet', 'vae'].map(own);
  const float8 = unet.map((program) => ({
    ...program,
    weights: program.weights.map((weight) => ({ ...weight, float8Bytes: weight.bytes / 2 })),
  }));
  const plain = unet.map((program) => ({
    ...program,
    weights: program.weights.map(({ key, bytes, dispatches }) => ({ key, bytes, dispatches })),
  }));
  const small = vae.map((program) => ({ ...program, workBytes: Math.floor(program.workBytes / 10) }));
  return [
    { phase: 'text', options: [option('exact', 'text', text)] },
    {
      phase: 'denoise',
      options: [option('exact', 'unet', plain), ...(lossy ? [option('lossy', 'unet', float8)] : [])],
    },
    { phase: 'decode', options: [option('exact', 'vae', vae), option('blended', 'vae', small)] },
  ];
}

/** The smallest budget, from the error's remedy. */
function smallest(phases: readonly PhaseDemand[], holds: ReadonlySet<WeightHold>): number {
  try {
    planResidency(phases, { budget: 1, baseBytes: 100, holds });
  } catch (error) {
    if (error instanceof OutOfMemoryError) return Number(/(\d+) bytes or more/.exec(error.remedy)?.[1]);
    throw error;
  }
  throw new Error('a budget of one byte was enough');
}

const kindOf = (plan: ResidencyPlan, phase: Phase): string | undefined =>
  plan.phases.find((one) => one.phase === phase)?.option.kind;

describe.each(SEEDS)('residency plans %s', (seed) => {
  it.each([NOTHING, BOTH])('keep every budget from the smallest on', (holds) => {
    const phases = randomPhases(seed, true);
    const least = smallest(phases, holds);
    expect(() => planResidency(phases, { budget: least - 1, baseBytes: 100, holds })).toThrow(
      OutOfMemoryError,
    );
    let copied = Number.POSITIVE_INFINITY;
    for (const factor of [1, 1.05, 1.3, 1.7, 2.5, 10]) {
      const budget = Math.ceil(least * factor);
      const plan = planResidency(phases, { budget, baseBytes: 100, holds });
      expect(plan.peakBytes).toBeLessThanOrEqual(budget);
      const moved = sum(
        plan.phases.flatMap(({ components }) => [...components.values()].map((one) => one.movedBytes)),
      );
      if (factor === 10) {
        expect([...plan.kept].sort()).toEqual(['text', 'unet', 'vae']);
        expect(plan.phases.map(({ option }) => option.kind)).toEqual(['exact', 'exact', 'exact']);
        expect(moved).toBe(0);
      }
      if (plan.kept.size === 3) expect(moved).toBe(0);
      copied = Math.min(copied, moved);
    }
    expect(copied).toBe(0);
  });

  it('change nothing without leave, and cut pictures only where nothing exact fits', () => {
    const phases = randomPhases(seed, false);
    const least = smallest(phases, BOTH);
    for (let budget = least; budget < 2 * least; budget += Math.ceil(least / 7)) {
      const plan = planResidency(phases, { budget, baseBytes: 100, holds: BOTH });
      expect(kindOf(plan, 'denoise')).toBe('exact');
      const exact = phases.slice(2).map(({ phase, options }) => ({ phase, options: options.slice(0, 1) }));
      const fitsExactly = budget >= smallest(exact, BOTH);
      expect(kindOf(plan, 'decode')).toBe(fitsExactly ? 'exact' : 'blended');
    }
  });
});
