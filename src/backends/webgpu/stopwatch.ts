/** @file Times repeated dispatches: on the device where it has timestamps, else by the host's clock. */

import type { OpenDevice } from './device.ts';
import type { Recording } from './recording.ts';
import { encodeDispatches } from './recording.ts';
import { RunTimer } from './run-timer.ts';

/**
 * Milliseconds that one run of a recording takes when it runs again and again.
 * @param repeats runs in one pass, so that what begins and ends it does not count
 */
export async function timeRepeats(
  device: OpenDevice,
  recording: Pick<Recording, 'pipelines' | 'bindGroups' | 'workgroups'>,
  repeats: number,
): Promise<number> {
  const timer = device.hasTimestamps ? new RunTimer(device, 1) : undefined;
  const timestampWrites = timer?.next();
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
  for (let i = 0; i < repeats; i++) encodeDispatches(pass, recording);
  pass.end();
  const begin = performance.now();
  device.gpu.queue.submit([encoder.finish()]);
  const times = await timer?.read();
  await device.gpu.queue.onSubmittedWorkDone();
  device.check();
  const milliseconds = times ? times[0].end - times[0].begin : performance.now() - begin;
  return milliseconds / repeats;
}
