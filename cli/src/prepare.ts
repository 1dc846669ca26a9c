/** @file Makes a Vulkan loader and the software adapter visible to this process, restarting it, which is the only way. */
import { exitWithParent, isRestarted, restartWith } from './restart.ts';
import {
  softwareAdapterEnvironment,
  softwareAdapterObstacle,
  unpackSoftwareAdapter,
} from './software-adapter.ts';

/**
 * On x86-64 Linux, unpacks SwiftShader and restarts the program with it and a Vulkan loader in its environment, beside
 * the system's own drivers. Elsewhere Dawn finds its adapters by itself, and this does nothing.
 */
export async function prepareAdapters(): Promise<void> {
  if (isRestarted()) {
    exitWithParent();
  } else if (softwareAdapterObstacle() === undefined) {
    await restartWith(softwareAdapterEnvironment(await unpackSoftwareAdapter()));
  }
}
