/** @file Makes WebGPU adapters visible to this process, restarting it where that is the only way. */
import { exitWithParent, isRestarted, restartWith } from './restart.ts';
import {
  softwareAdapterEnvironment,
  softwareAdapterObstacle,
  unpackSoftwareAdapter,
} from './software-adapter.ts';

/**
 * On x86-64 Linux, restarts the program with a Vulkan loader and SwiftShader in its environment, beside the system's
 * own drivers: a GPU is still found and still preferred, also on a machine that has its driver but no loader.
 * Elsewhere Dawn finds the adapters by itself, and this does nothing.
 */
export async function prepareAdapters(): Promise<void> {
  if (isRestarted()) {
    exitWithParent();
  } else if (softwareAdapterObstacle() === undefined) {
    await restartWith(softwareAdapterEnvironment(await unpackSoftwareAdapter()));
  }
}
