/**
 * @file The container of PNG (https://www.w3.org/TR/png-3/): signature, chunks with checksums, and the two kinds of
 * uncompressed text chunk.
 */
import { FileFormatError, OptionError } from '../errors.ts';

/** Bytes that own an ordinary buffer. */
type Bytes = Uint8Array<ArrayBuffer>;

/** One chunk. */
export interface PngChunk {
  /** Four letters, for example IHDR. */
  readonly type: string;
  readonly data: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32 (ISO 3309) of bytes. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A PNG file of these chunks. */
export function writePng(chunks: readonly PngChunk[]): Bytes {
  const size = chunks.reduce((sum, { data }) => sum + 12 + data.length, SIGNATURE.length);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set(SIGNATURE);
  let at = SIGNATURE.length;
  for (const { type, data } of chunks) {
    view.setUint32(at, data.length);
    file.set(latin1(type), at + 4);
    file.set(data, at + 8);
    view.setUint32(at + 8 + data.length, crc32(file.subarray(at + 4, at + 8 + data.length)));
    at += 12 + data.length;
  }
  return file;
}

/** The chunks of a PNG file up to IEND, as views. Throws FileFormatError for anything that is not a whole PNG. */
export function readPng(file: Uint8Array, name: string): PngChunk[] {
  const damaged = (problem: string) =>
    new FileFormatError(problem, {
      file: name,
      remedy: 'The picture is damaged or was cut short; get it again',
    });
  if (SIGNATURE.some((byte, i) => file[i] !== byte))
    throw new FileFormatError('is not a PNG picture', { file: name, remedy: 'Convert it to PNG' });
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const chunks: PngChunk[] = [];
  let at = SIGNATURE.length;
  while (chunks.at(-1)?.type !== 'IEND') {
    const length = at + 12 <= file.length ? view.getUint32(at) : Infinity;
    if (at + 12 + length > file.length) throw damaged(`ends inside a chunk at byte ${at}`);
    const checked = file.subarray(at + 4, at + 8 + length);
    const type = fromLatin1(checked.subarray(0, 4));
    if (view.getUint32(at + 8 + length) !== crc32(checked))
      throw damaged(`the checksum of chunk ${type} is wrong`);
    chunks.push({ type, data: checked.subarray(4) });
    at += 12 + length;
  }
  return chunks;
}

/**
 * A text chunk as Pillow writes it: tEXt where Latin-1 can say it, else iTXt in UTF-8.
 * Throws OptionError for a keyword that PNG does not allow, and for NUL characters.
 */
export function textChunk(keyword: string, text: string): PngChunk {
  if (
    !/^[\x21-\x7e\xa1-\xff]([\x20-\x7e\xa1-\xff]{0,77}[\x21-\x7e\xa1-\xff])?$/.test(keyword) ||
    text.includes('\0')
  )
    throw new OptionError('PNG cannot hold this text', {
      field: keyword,
      remedy: 'Use 1 to 79 Latin letters as the keyword, and no NUL characters',
    });
  // eslint-disable-next-line no-control-regex -- Latin-1 begins at 0.
  if (/^[\x00-\xff]*$/.test(text)) return { type: 'tEXt', data: latin1(`${keyword}\0${text}`) };
  const head = latin1(`${keyword}\0\0\0\0\0`);
  const body = new TextEncoder().encode(text);
  const data = new Uint8Array(head.length + body.length);
  data.set(head);
  data.set(body, head.length);
  return { type: 'iTXt', data };
}

/** Keyword and text of a tEXt chunk or an uncompressed iTXt chunk; undefined for other chunks and damaged text. */
export function readTextChunk({ type, data }: PngChunk): [keyword: string, text: string] | undefined {
  const end = data.indexOf(0);
  if (end < 1 || (type !== 'tEXt' && type !== 'iTXt')) return undefined;
  const keyword = fromLatin1(data.subarray(0, end));
  if (type === 'tEXt') return [keyword, fromLatin1(data.subarray(end + 1))];
  // Compression flag and method, then language and translated keyword, each ended by NUL.
  const language = data.indexOf(0, end + 3);
  const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
  if (data[end + 1] !== 0 || translated < 0) return undefined;
  return [keyword, new TextDecoder().decode(data.subarray(translated + 1))];
}

function latin1(text: string): Bytes {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function fromLatin1(bytes: Uint8Array): string {
  // TextDecoder's "latin1" is windows-1252, which differs from 0x80 to 0x9f.
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}
