/** @file A page and its worker as the two ends of a message channel: what arrives is a structured clone. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { DiffusionWorker, type WorkerLike } from '../../src/worker/diffusion-worker.ts';
import { WorkerHost } from '../../src/worker/host.ts';
import type { FromWorker, ToWorker, WorkerFolder } from '../../src/worker/protocol.ts';

/** A worker, and what ends it. */
export function openWorker(): { readonly worker: DiffusionWorker; close(): Promise<void> } {
  const { port1, port2 } = new MessageChannel();
  const host = new WorkerHost((message, transfer = []) => port2.postMessage(message, [...transfer]));
  port2.on('message', (message: ToWorker) => host.receive(message));
  const worker = new DiffusionWorker(asWorker(port1));
  return {
    worker,
    close: async () => {
      await worker.dispose();
      port1.close();
    },
  };
}

/** A port as the page sees a Worker. */
function asWorker(port: MessagePort): WorkerLike {
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer),
    addEventListener(type: string, listener: (event: never) => void) {
      if (type === 'message') port.on('message', (data: FromWorker) => listener({ data } as never));
    },
    terminate: () => port.close(),
  };
}

/** A folder as a page has it after it was picked: its JSON files, texts and weights. */
export async function pickedFolder(root: string): Promise<WorkerFolder> {
  const files = new Map<string, Blob>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(json|txt|safetensors)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path).split(sep).join('/'), await pickedFile(path));
  }
  return { name: basename(root), files };
}

/** A file as a page has it. */
export async function pickedFile(path: string): Promise<Blob> {
  return new Blob([new Uint8Array(await readFile(path))]);
}
