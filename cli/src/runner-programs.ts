/** @file The processes of `calotype serve` and `calotype worker` that compute. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { RunnerProgram } from '@calotype/server';
import { readAdapterPlace } from './additions.ts';
import { cpusOf, type RunnerRequest } from './serve-request.ts';

/** Built from runner.ts; one folder above both this source and its build. */
const SCRIPT = fileURLToPath(new URL('../dist/runner.js', import.meta.url));

/**
 * One process for each card or group of CPUs, all with the arguments of this command.
 * @throws OptionError for IP-Adapters that are not here
 */
export function runnerPrograms(
  { devices, backend, ipAdapters }: RunnerRequest,
  args: readonly string[],
): RunnerProgram[] {
  // Each process reads them again; what is wrong is better said once.
  for (const { source } of ipAdapters) readAdapterPlace(source);
  if (devices.length === 0) return [{ name: 'runner', script: SCRIPT, args }];
  if (backend.name !== 'cpu')
    return devices.map((device, i) => ({
      // Several processes may share a card.
      name: devices.indexOf(device) === i ? `device ${device}` : `device ${device} (${i + 1})`,
      script: SCRIPT,
      args,
      env: { CUDA_VISIBLE_DEVICES: device },
    }));
  const pins = hasTaskset();
  return devices.map((group) => ({
    name: `CPUs ${group}`,
    script: SCRIPT,
    // As many threads as CPUs, unless that is said otherwise.
    args: backend.cpu.threads === undefined ? [...args, '--threads', String(cpusOf(group))] : args,
    ...(pins && { launcher: ['taskset', '-c', group] }),
  }));
}

/** Whether processes can be kept on CPUs; where there is none, they have their number of threads alone. */
function hasTaskset(): boolean {
  return spawnSync('taskset', ['--version'], { stdio: 'ignore' }).status === 0;
}
