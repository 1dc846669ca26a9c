/**
 * @file JSON files of the cache: a line with the SHA-256 of the rest, then the rest. A file that was cut or damaged is
 * no file.
 */
import * as v from 'valibot';
import type { Bytes } from '../byte-source.ts';
import { sha256 } from './digest.ts';
import type { ChunkStore } from './chunk-store.ts';

/** Reads a sealed file; undefined if it is absent, damaged, or of another schema. */
export async function readSealed<Schema extends v.GenericSchema>(
  store: Pick<ChunkStore, 'read'>,
  path: string,
  schema: Schema,
): Promise<v.InferOutput<Schema> | undefined> {
  const bytes = await store.read(path);
  if (bytes === undefined) return undefined;
  const text = new TextDecoder().decode(bytes);
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  if (end < 0 || text.slice(0, end) !== (await sha256(encode(body)))) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body);
  return parsed.success ? parsed.output : undefined;
}

/** Writes a sealed file; false if there is no room. */
export async function writeSealed(
  store: Pick<ChunkStore, 'write'>,
  path: string,
  value: unknown,
): Promise<boolean> {
  const body = JSON.stringify(value);
  return store.write(path, encode(`${await sha256(encode(body))}\n${body}`));
}

function encode(text: string): Bytes {
  return new TextEncoder().encode(text);
}
