/** @file Digests: SHA-256 of what is in memory by WebCrypto, and the hashes by which the Hub names whole files. */
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256 as streamingSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { Bytes } from '../byte-source.ts';

/** SHA-256 as hexadecimal digits. */
export async function sha256(bytes: Bytes): Promise<string> {
  return bytesToHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
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
  // WebCrypto has no hash that can be fed in pieces.
  const hash = match[1] ? streamingSha256.create() : sha1.create().update(utf8ToBytes(`blob ${size}\0`));
  return {
    update: (bytes) => void hash.update(bytes),
    matches: () => bytesToHex(hash.digest()) === expected,
  };
}
