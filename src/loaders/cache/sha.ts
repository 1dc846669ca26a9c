/**
 * @file SHA-256 and SHA-1 (FIPS 180-4) of what is fed piece by piece, which WebCrypto cannot do. They tell damaged downloads
 * from whole ones; nothing is kept secret with them.
 */

/** A hash that is being computed. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** The digest as hexadecimal digits; nothing may follow. */
  digest(): string;
}

const BLOCK = 64;

/** Rounds of a block: they change the state by 16 big-endian words of the message. Words are signed, which engines are fast at. */
type Compress = (state: Int32Array, block: DataView, offset: number) => void;

/** What both hashes have in common: blocks of 64 bytes, the last one with the message's length in bits. */
function hasher(state: Int32Array, compress: Compress): Hasher {
  const rest = new Uint8Array(BLOCK);
  const restView = new DataView(rest.buffer);
  let length = 0;
  const update = (bytes: Uint8Array): void => {
    let at = 0;
    const held = length % BLOCK;
    length += bytes.length;
    if (held > 0) {
      at = Math.min(BLOCK - held, bytes.length);
      rest.set(bytes.subarray(0, at), held);
      if (held + at < BLOCK) return;
      compress(state, restView, 0);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at + BLOCK <= bytes.length; at += BLOCK) compress(state, view, at);
    rest.set(bytes.subarray(at));
  };
  return {
    update,
    digest() {
      const bits = BigInt(length) * 8n;
      const padding = new Uint8Array(((119 - (length % BLOCK)) % BLOCK) + 9);
      padding[0] = 0x80;
      new DataView(padding.buffer).setBigUint64(padding.length - 8, bits);
      update(padding);
      return [...state].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
    },
  };
}

/** The first 32 bits of the fractional parts of a root (2: square, 3: cube) of the first primes. */
function rootsOfPrimes(count: number, degree: 2 | 3): Int32Array {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  const power = BigInt(degree);
  return Int32Array.from(primes, (prime) => {
    const scaled = prime << (32n * power);
    let root = 0n;
    for (let bit = 1n << 36n; bit > 0n; bit >>= 1n) if ((root + bit) ** power <= scaled) root += bit;
    return Number(root & 0xffff_ffffn) | 0;
  });
}

const rotateRight = (word: number, count: number): number => (word >>> count) | (word << (32 - count));
const rotateLeft = (word: number, count: number): number => (word << count) | (word >>> (32 - count));

/** Constants of SHA-256, made with the first of them. */
let sha256Rounds: Int32Array | undefined;

export function sha256Hasher(): Hasher {
  const rounds = (sha256Rounds ??= rootsOfPrimes(64, 3));
  const words = new Int32Array(64);
  return hasher(rootsOfPrimes(8, 2), (state, block, offset) => {
    for (let i = 0; i < 16; i++) words[i] = block.getInt32(offset + 4 * i);
    for (let i = 16; i < 64; i++) {
      const early = words[i - 15];
      const late = words[i - 2];
      const s0 = rotateRight(early, 7) ^ rotateRight(early, 18) ^ (early >>> 3);
      const s1 = rotateRight(late, 17) ^ rotateRight(late, 19) ^ (late >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
    let a = state[0];
    let b = state[1];
    let c = state[2];
    let d = state[3];
    let e = state[4];
    let f = state[5];
    let g = state[6];
    let h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
      const first = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i] + words[i]) | 0;
      const s0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
      const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + second) | 0;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  });
}

export function sha1Hasher(): Hasher {
  const words = new Int32Array(80);
  const start = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  return hasher(start, (state, block, offset) => {
    for (let i = 0; i < 16; i++) words[i] = block.getInt32(offset + 4 * i);
    for (let i = 16; i < 80; i++)
      words[i] = rotateLeft(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    let a = state[0];
    let b = state[1];
    let c = state[2];
    let d = state[3];
    let e = state[4];
    for (let i = 0; i < 80; i++) {
      const mixed =
        i < 20
          ? ((b & c) | (~b & d)) + 0x5a827999
          : i < 40
            ? (b ^ c ^ d) + 0x6ed9eba1
            : i < 60
              ? ((b & c) | (b & d) | (c & d)) - 0x70e44324
              : (b ^ c ^ d) - 0x359d3e2a;
      const next = (rotateLeft(a, 5) + mixed + e + words[i]) | 0;
      e = d;
      d = c;
      c = rotateLeft(b, 30);
      b = a;
      a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
  });
}
