/** @file WebGPU in Node: Dawn, through the optional package `webgpu`. */

import { existsSync } from 'node:fs';
import { DAWN_SETTINGS } from './dawn-settings.ts';
import type { FoundGpu, GpuChoice, Missing } from './gpu.ts';

/**
 * What `create` returned, by toggles. It must stay referenced for as long as anything made from it lives, or the
 * process hangs or aborts; this map is never emptied.
 */
const created = new Map<string, GPU>();

/** Dawn's entry point, or why it cannot be had. */
export async function nodeGpu({
  toggles = DAWN_SETTINGS.native,
  adapterName,
}: GpuChoice): Promise<FoundGpu | Missing> {
  const flags = [...toggles, ...(adapterName === undefined ? [] : [`adapter=${adapterName}`])];
  const key = flags.join(' ');
  let gpu = created.get(key);
  if (!gpu) {
    try {
      const { create } = await import('webgpu');
      gpu = create(flags);
    } catch (cause) {
      return {
        reason: `the package webgpu cannot be loaded (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)})`,
        remedy: 'Run "npm install webgpu"',
      };
    }
    created.set(key, gpu);
  }
  return { gpu, noAdapter };
}

/** What it means when Dawn finds no adapter. On Linux that is the Vulkan loader or its drivers. */
function noAdapter(): { reason: string; remedy: string } {
  if (process.platform !== 'linux') return { reason: 'Dawn finds no GPU', remedy: 'Update the GPU driver' };
  const folders = [
    ...(process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== ''),
    '/usr/lib',
    '/usr/lib64',
    '/lib/x86_64-linux-gnu',
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/local/lib',
  ];
  const hasLoader = folders.some((folder) => existsSync(`${folder}/libvulkan.so.1`));
  const software =
    'without a GPU, start the process with LD_LIBRARY_PATH and VK_DRIVER_FILES set to a software driver (`calotype generate --backend webgpu --adapter software` does this by itself), or use the CPU backend';
  return hasLoader
    ? {
        reason: 'Vulkan has no driver that Dawn takes',
        remedy: `Install the GPU's Vulkan driver; ${software}`,
      }
    : {
        reason: 'there is no Vulkan loader (libvulkan.so.1)',
        remedy: `Install libvulkan1 and a Vulkan driver; ${software}`,
      };
}
