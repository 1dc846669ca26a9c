/** @file How many floating point operations a second the machine can do at best, by the kernels' own inner loop. */

import type { Engine } from './engine.ts';
import { writeLaunches } from './launch-list.ts';

/** Steps of 4 along the sum: a panel of rows and one of columns take 14 KiB, less than a first-level cache. */
const GROUPS = 64;
const REPEATS = 400;
/** Operations of one repeat: 6 x 8 products and sums for each step. */
const REPEAT_FLOPS = 2 * 6 * 8 * 4 * GROUPS;
/** Short runs, of which the best is taken: what others do on the machine meanwhile should not count. */
const RUNS = 50;
const TASKS_PER_THREAD = 2;

/** Most operations a second that all threads together reached in matrix products of panels in their caches. */
export async function measurePeak(engine: Engine): Promise<number> {
  const tasks = TASKS_PER_THREAD * Math.max(engine.threads, 1);
  const launch = { name: 'gemmPeak', tasks, args: [REPEATS, GROUPS] };
  const stamps = engine.memory.allocate(16, 'time stamps');
  // The first launch wakes the threads; the time between the ends of both is that of the second.
  const bound = [launch, launch].map((one) => ({ launch: one, addressOf: () => 0 }));
  const list = writeLaunches(engine, bound, 'the measurement of the peak', stamps);
  let best = Infinity;
  try {
    for (let run = 0; run < RUNS; run++) {
      engine.run(list.address);
      const milliseconds = await engine.enqueue(() => {
        const [first, second] = new Float64Array(engine.memory.memory.buffer, stamps.address, 2);
        return second - first;
      });
      if (milliseconds > 0) best = Math.min(best, milliseconds);
    }
  } finally {
    await engine.releaseLater([stamps, list.range]);
  }
  return (tasks * REPEATS * REPEAT_FLOPS * 1000) / best;
}
