/** @file The processes of `calotype serve` and `calotype worker` that compute. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { RunnerProgram } from '@calotype/server';
import type { RunnerRequest } from './serve-request.ts';

/** Built from runner.ts; one folder above both this source and its build. */
const SCRIPT = fileURLToPath(new URL('../dist/runner.js', import.meta.url));

/** One process for each device or group of CPU threads, all with the arguments of this command. */
export function runnerPrograms(
  { devices, cpuGroups, backend }: RunnerRequest,
  args: readonly string[],
): RunnerProgram[] {
  if (cpuGroups > 1) {
    const threads = Math.max(1, Math.floor((backend.cpu.threads ?? availableParallelism()) / cpuGroups));
    return Array.from({ length: cpuGroups }, (_, group) => ({
      name: `CPU group ${group}`,
      script: SCRIPT,
      args: [...args, '--threads', String(threads)],
    }));
  }
  if (devices.length === 0) return [{ name: 'runner', script: SCRIPT, args }];
  return devices.map((device) => ({
    name: `device ${device}`,
    script: SCRIPT,
    args,
    env: { CUDA_VISIBLE_DEVICES: device },
  }));
}
