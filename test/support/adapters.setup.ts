/** @file Before all tests: lets the test processes see the software WebGPU adapter, beside the system's own. */
import {
  softwareAdapterEnvironment,
  softwareAdapterObstacle,
  unpackSoftwareAdapter,
} from '../../cli/src/software-adapter.ts';

/** Test processes are started after this, with this process's environment. */
export async function setup(): Promise<void> {
  if (softwareAdapterObstacle() === undefined) {
    Object.assign(process.env, softwareAdapterEnvironment(await unpackSoftwareAdapter()));
  }
}
