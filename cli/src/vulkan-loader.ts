/** @file Whether GPUs are hidden for want of a Vulkan loader: headless machines often have a driver and no loader. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Device nodes of GPUs: NVIDIA's driver, and the first of any other. */
const DEVICES = ['/dev/nvidiactl', '/dev/dri/renderD128'];

/** Where distributions keep libraries of this architecture. */
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
];

/** Whether there is a GPU's device but no Vulkan loader on an x86-64 Linux. */
export function lacksVulkanLoader(exists: (path: string) => boolean = existsSync): boolean {
  if (process.platform !== 'linux' || process.arch !== 'x64' || !DEVICES.some(exists)) return false;
  const folders = [
    ...(process.env['LD_LIBRARY_PATH'] ?? '').split(delimiter).filter(Boolean),
    ...LIBRARY_FOLDERS,
  ];
  return !folders.some((folder) => exists(join(folder, 'libvulkan.so.1')));
}
