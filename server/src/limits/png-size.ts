/** @file The size that a PNG file says it has, from its first 24 bytes. */
import { FileFormatError } from 'calotype';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Pixels each way. Throws FileFormatError for what is no PNG; `name` is the field it came in. */
export function pngSize(file: Uint8Array, name: string): { readonly width: number; readonly height: number } {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const isPng =
    bytes.length >= 33 &&
    bytes.subarray(0, 8).equals(SIGNATURE) &&
    bytes.toString('latin1', 12, 16) === 'IHDR';
  if (!isPng) throw new FileFormatError('is not a PNG picture', { file: name, remedy: 'Convert it to PNG' });
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}
