/** @file The processes of `calotype serve` and `calotype worker` that compute. */
import { fileURLToPath } from 'node:url';
import type { RunnerProgram } from '@calotype/server';
import type { RunnerRequest } from './serve-request.ts';

/** Built from runner.ts; one folder above both this source and its build. */
const SCRIPT = fileURLToPath(new URL('../dist/runner.js', import.meta.url));

/** One process for each device, all with the arguments of this command. */
export function runnerPrograms({ devices }: RunnerRequest, args: readonly string[]): RunnerProgram[] {
  if (devices.length === 0) return [{ name: 'runner', script: SCRIPT, args }];
  return devices.map((device) => ({
    name: `device ${device}`,
    script: SCRIPT,
    args,
    env: { CUDA_VISIBLE_DEVICES: device },
  }));
}
