/** @file The hashes of downloads are Node's, whatever the pieces that they are fed in. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Hasher, sha1Hasher, sha256Hasher } from '../../../src/loaders/cache/sha.ts';

const HASHERS: Readonly<Record<string, () => Hasher>> = { sha1: sha1Hasher, sha256: sha256Hasher };

test.each(Object.entries(HASHERS))('%s', (name, start) => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 151 + (i >> 3)) % 256);
  for (let length = 0; length <= bytes.length; length++)
    for (const piece of [1, 3, 63, 64, 65, 300]) {
      const hash = start();
      for (let at = 0; at < length; at += piece)
        hash.update(bytes.subarray(at, Math.min(length, at + piece)));
      const expected = createHash(name).update(bytes.subarray(0, length)).digest('hex');
      expect(hash.digest(), `${length} bytes in pieces of ${piece}`).toBe(expected);
    }
});

test('a few megabytes', () => {
  const hash = sha256Hasher();
  const piece = new Uint8Array(1 << 20);
  const node = createHash('sha256');
  for (let i = 0; i < 4; i++) {
    hash.update(piece);
    node.update(piece);
  }
  expect(hash.digest()).toBe(node.digest('hex'));
});
