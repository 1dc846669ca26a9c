/** @file Files that are picked or dropped anywhere on the page: each goes where it belongs. */
import type { FileKind, WorkerFolder } from 'calotype/worker';
import { addEmbedding, addLora } from './additions.ts';
import { busy, messageOf, problem, worker } from './engine.ts';
import { load, setControlNet } from './models.ts';
import { takePicture } from './studio.ts';

/** Takes what a drop brings: a model's folder, or files. */
export async function takeDropped(transfer: DataTransfer): Promise<void> {
  // The list is empty once this function has waited for something.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const folder = entries.find(isFolder);
  if (!folder) return takeFiles(files);
  if (isBusy()) return;
  const found = new Map<string, File>();
  await walk(folder, '', found);
  await loadFolder({ name: folder.name, files: found });
}

/** Takes files, one after the other. */
export async function takeFiles(files: readonly File[]): Promise<void> {
  for (const file of files)
    if (!file.name.endsWith('.safetensors')) await takePicture(file);
    else if (!isBusy()) await takeWeights(file);
}

/** Loads a diffusers folder that was picked or dropped. */
export async function loadFolder(folder: WorkerFolder): Promise<void> {
  await load(folder.name, folder);
}

async function takeWeights(file: File): Promise<void> {
  const { name } = file;
  const take: Readonly<Record<FileKind, () => Promise<void>>> = {
    checkpoint: () => load(name, { name, checkpoint: file }),
    lora: () => addLora({ name, file }),
    embedding: () => addEmbedding({ name, file }),
    controlnet: () => setControlNet({ name, from: { name, file } }),
  };
  try {
    await take[await worker.fileKind(name, file)]();
  } catch (error) {
    problem.value = messageOf(error);
  }
}

function isBusy(): boolean {
  if (busy.value) problem.value = 'Drop it again when the page is done, or stop what it does.';
  return busy.value;
}

// Browsers do not have the classes of entries as globals.
function isFolder(entry: FileSystemEntry | null): entry is FileSystemDirectoryEntry {
  return entry?.isDirectory === true;
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** All files below a folder, by their paths in it. */
async function walk(folder: FileSystemDirectoryEntry, path: string, found: Map<string, File>): Promise<void> {
  const reader = folder.createReader();
  for (;;) {
    // A call gives a part of them, in Chromium 100.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return;
    for (const entry of entries)
      if (isFolder(entry)) await walk(entry, `${path}${entry.name}/`, found);
      else if (isFile(entry))
        found.set(
          `${path}${entry.name}`,
          await new Promise<File>((resolve, reject) => entry.file(resolve, reject)),
        );
  }
}
