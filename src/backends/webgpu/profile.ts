/** @file Times every dispatch of a recording: on the device where it can, else by waiting for each one on the host. */

import { OptionError } from '../../errors.ts';
import type { Plan } from '../../plan/plan.ts';
import type { DispatchTime } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_READ } from './flags.ts';
import type { Recording } from './recording.ts';

/** Timestamps a query set may hold. */
const MAX_QUERIES = 4096;

function encode(
  pass: GPUComputePassEncoder,
  { pipelines, bindGroups, workgroups }: Recording,
  i: number,
): void {
  pass.setPipeline(pipelines[i]);
  pass.setBindGroup(0, bindGroups[i]);
  pass.dispatchWorkgroups(workgroups[3 * i], workgroups[3 * i + 1], workgroups[3 * i + 2]);
  pass.end();
}

/** Runs all dispatches once, each in a pass of its own between two timestamps. */
export async function profileOnDevice(device: OpenDevice, recording: Recording): Promise<DispatchTime[]> {
  const times: DispatchTime[] = [];
  const step = MAX_QUERIES / 2;
  for (let start = 0; start < recording.names.length; start += step) {
    const names = recording.names.slice(start, start + step);
    const bytes = names.length * 16;
    const querySet = device.gpu.createQuerySet({ type: 'timestamp', count: names.length * 2 });
    const resolved = device.gpu.createBuffer({
      size: bytes,
      usage: BUFFER_USAGE.QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC,
    });
    const staging = device.gpu.createBuffer({
      size: bytes,
      usage: BUFFER_USAGE.COPY_DST | BUFFER_USAGE.MAP_READ,
    });
    const encoder = device.gpu.createCommandEncoder();
    names.forEach((_, i) => {
      const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      encode(encoder.beginComputePass({ timestampWrites }), recording, start + i);
    });
    encoder.resolveQuerySet(querySet, 0, names.length * 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const stamps = new BigUint64Array(staging.getMappedRange());
    names.forEach((name, i) =>
      times.push({ ...name, milliseconds: Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6 }),
    );
    staging.destroy();
    resolved.destroy();
    querySet.destroy();
  }
  return times;
}

/** Runs all dispatches once, each submitted alone; times include the round trip, which the kernel's name says. */
export async function profileOnHost(device: OpenDevice, recording: Recording): Promise<DispatchTime[]> {
  const times: DispatchTime[] = [];
  for (const [i, { kernel, dispatch }] of recording.names.entries()) {
    const start = performance.now();
    const encoder = device.gpu.createCommandEncoder();
    encode(encoder.beginComputePass(), recording, i);
    device.gpu.queue.submit([encoder.finish()]);
    await device.gpu.queue.onSubmittedWorkDone();
    times.push({ kernel: `${kernel} (host clock)`, dispatch, milliseconds: performance.now() - start });
  }
  return times;
}

/** What is said of programs that cannot be profiled: their kernels find what they read in slots that are filled meanwhile. */
export function refuseStreamed({ name }: Plan): OptionError {
  return new OptionError('programs whose weights are streamed cannot be profiled', {
    file: `plan "${name}"`,
    remedy: 'Profile it without a budget of memory',
  });
}
