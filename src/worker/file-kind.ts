/** @file What a .safetensors file is that somebody picked or dropped, told by the names in it. */
import { blobSource } from '../loaders/byte-source.ts';
import { openSafetensors } from '../loaders/safetensors.ts';
import { controlNetLayout } from '../loaders/single-file/controlnet-names.ts';
import type { FileKind } from './protocol.ts';

/** Parts of adapters' layers, as their trainers name them; the last is the first trainer's. */
const ADAPTER = /lora|hada_w|lokr_w|^\d+:(?:up|down)$/;
/** Learned words are one tensor, or one for each text encoder. */
const EMBEDDING_TENSORS = 2;

/** Reads a file's header. Throws FileFormatError for other formats. */
export async function fileKind(name: string, file: Blob): Promise<FileKind> {
  const opened = await openSafetensors(blobSource(name, file));
  try {
    const names = [...opened.names()];
    if (controlNetLayout(names)) return 'controlnet';
    if (names.some((tensor) => ADAPTER.test(tensor))) return 'lora';
    return names.length <= EMBEDDING_TENSORS ? 'embedding' : 'checkpoint';
  } finally {
    await opened.close();
  }
}
