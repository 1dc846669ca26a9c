/** @file Builds safetensors files for tests, right ones and wrong ones. */
import { STORED_DTYPES, type StoredDType } from '../../src/tensor/dtype.ts';

/** One tensor: float32 unless said otherwise. */
export interface TestTensor {
  readonly shape: readonly number[];
  readonly dtype?: StoredDType;
  readonly data?: Uint8Array;
}

/** A file with this header text and data, whatever they say; `headerLength` overrides the true length. */
export function rawSafetensors(header: string, data = new Uint8Array(0), headerLength?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** A right file; data counts up where none is given. */
export function makeSafetensors(tensors: Readonly<Record<string, TestTensor>>): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, { shape, dtype = 'F32', data }] of Object.entries(tensors)) {
    const bytes = shape.reduce((product, size) => product * size, STORED_DTYPES[dtype]);
    parts.push(data ?? Uint8Array.from({ length: bytes }, (_, i) => (at + i) % 251));
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const data = new Uint8Array(at);
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return rawSafetensors(JSON.stringify(header), data);
}
