/** @file Digests: SHA-256 of what is in memory by WebCrypto, and the hashes by which the Hub names whole files. */
import type { Bytes } from '../byte-source.ts';
import { sha1Hasher, sha256Hasher } from './sha.ts';

/** SHA-256 as hexadecimal digits. */
export async function sha256(bytes: Bytes): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A hash that is fed a file piece by piece. */
export interface FileHash {
  update(bytes: Uint8Array): void;
  /** Whether all that was fed is the file of that version. */
  matches(): boolean;
}

/**
 * The hash in a version such as `sha256:<hex>` (files in large file storage) or `git:<hex>` (Git's own blobs);
 * undefined for other versions, which say nothing about the content.
 */
export function hashOfVersion(version: string, size: number): FileHash | undefined {
  const match = /^(?:(sha256):([0-9a-f]{64})|(git):([0-9a-f]{40}))$/.exec(version);
  if (match === null) return undefined;
  const expected = match[2] ?? match[4];
  const isGit = match[3] !== undefined;
  const hash = isGit ? sha1Hasher() : sha256Hasher();
  if (isGit) hash.update(new TextEncoder().encode(`blob ${size}\0`));
  return {
    update: (bytes) => hash.update(bytes),
    matches: () => hash.digest() === expected,
  };
}
