/** @file The pictures that were made, kept as PNG files in the origin private file system; each carries its recipe. */
import { signal } from '@preact/signals';

/** A kept picture. */
export interface Kept {
  readonly name: string;
  readonly file: Blob;
  /** For an <img>. */
  readonly url: string;
}

const FOLDER = 'gallery';

/** Newest first. */
export const gallery = signal<readonly Kept[]>([]);

async function folder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  } catch {
    // Private windows and old browsers: pictures stay until the page is closed.
    return undefined;
  }
}

function kept(name: string, file: Blob): Kept {
  return { name, file, url: URL.createObjectURL(file) };
}

/** Finds the pictures of earlier visits. */
export async function openGallery(): Promise<void> {
  const found: Kept[] = [];
  const handles = (await folder())?.values() ?? [];
  for await (const handle of handles)
    if (handle instanceof FileSystemFileHandle) found.push(kept(handle.name, await handle.getFile()));
  gallery.value = found.toSorted((a, b) => b.name.localeCompare(a.name));
}

/** Keeps a picture. */
export async function keep(file: Blob, seed: number): Promise<void> {
  const name = `${new Date().toISOString().replace(/[:.]/g, '-')}-${seed}.png`;
  gallery.value = [kept(name, file), ...gallery.value];
  const writer = await (await (await folder())?.getFileHandle(name, { create: true }))?.createWritable();
  await writer?.write(file);
  await writer?.close();
}

/** Removes a picture for good. */
export async function discard({ name, url }: Kept): Promise<void> {
  gallery.value = gallery.value.filter((other) => other.name !== name);
  URL.revokeObjectURL(url);
  await (await folder())?.removeEntry(name).catch(() => undefined);
}
