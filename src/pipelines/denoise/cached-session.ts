/** @file Two sets of programs on one state: those that compute deep features, and those that take them (DeepCache). */

import type { DeviceTensor } from '../../backends/backend.ts';
import type { DenoisePrograms, DenoiseSession } from './denoise-programs.ts';
import { DEEP_FEATURES, type FeatureCacheRole } from './feature-cache.ts';

/** Compiles both sets; the second works on the first one's state and features. */
export async function compileCached(
  interval: number,
  compile: (role: FeatureCacheRole, tensors?: ReadonlyMap<string, DeviceTensor>) => Promise<DenoisePrograms>,
): Promise<DenoiseSession> {
  const full = await compile('fill');
  try {
    const shared = ['state', DEEP_FEATURES].map((name) => [name, full.latentProgram.tensor(name)] as const);
    return cachedSession(full, await compile('use', new Map(shared)), interval);
  } catch (error) {
    full.dispose();
    throw error;
  }
}

/** One session of both sets: every `interval`-th call computes deep features. */
function cachedSession(full: DenoisePrograms, shallow: DenoisePrograms, interval: number): DenoiseSession {
  const both = [full, shallow];
  return {
    programs: both.flatMap(({ programs }) => programs),
    latentProgram: full.latentProgram,
    setPrompt: (inputs) => both.forEach((set) => set.setPrompt(inputs)),
    changePrompt: (inputs) => both.forEach((set) => set.changePrompt(inputs)),
    setSchedule: (...schedule) => both.forEach((set) => set.setSchedule(...schedule)),
    setLatents: (...latents) => both.forEach((set) => set.setLatents(...latents)),
    step: (index, noise) => (index % interval === 0 ? full : shallow).step(index, noise),
    readState: () => full.readState(),
    setState: (state) => full.setState(state),
    latentsOf: (state) => full.latentsOf(state),
    readLatents: () => full.readLatents(),
    dispose: () => both.toReversed().forEach((set) => set.dispose()),
  };
}
