/**
 * @file PNG pictures with text. fast-png decodes, but does not encode here: it writes unfiltered rows (twice the
 * bytes on the starter's pictures) and Latin-1 text only. Encoding is short: the Paeth filter on every row (within
 * 5 % of choosing a filter for each), the platform's own zlib, and chunks.
 */
import { convertIndexedToRgb, decode, type DecodedPng } from 'fast-png';
import { FileFormatError, OptionError } from '../errors.ts';
import type { CalotypeImage } from './image.ts';
import { type PngChunk, readPng, readTextChunk, textChunk, writePng } from './png-chunks.ts';

/** What may be written beside the pixels. */
export interface EncodePngOptions {
  /** Texts by keyword (1 to 79 Latin-1 characters). */
  readonly text?: Readonly<Record<string, string>>;
  /**
   * Compresses into zlib's format (RFC 1950); default the platform's. The bytes are those of pixels less what is foretold of them,
   * for which Node's `Z_RLE` is several times as fast at about the same size.
   */
  readonly deflate?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array | Promise<Uint8Array>;
}

/** A picture and the texts that came with it. */
export interface DecodedPngFile {
  readonly image: CalotypeImage;
  readonly text: ReadonlyMap<string, string>;
}

/** Larger pictures are refused before memory is taken for them: 8192 x 8192. */
const MAX_PIXELS = 2 ** 26;

/** deflate makes nothing smaller than by this factor (zlib's technical details). */
const MAX_DEFLATE_RATIO = 1032;
/** Values a pixel, by PNG's colour type. */
const CHANNELS: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [2, 3],
  [3, 1],
  [4, 2],
  [6, 4],
]);

/** Colour types of PNG. */
const RGB = 2;
const RGB_ALPHA = 6;

/**
 * A picture as a PNG file: RGB if it is opaque, else RGBA, 8 bits each.
 * Throws OptionError if the size does not match the data, or a text cannot be written.
 */
export async function encodePng(
  image: CalotypeImage,
  options: EncodePngOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height, data } = image;
  if (
    ![width, height].every((side) => Number.isInteger(side) && side > 0) ||
    data.length !== width * height * 4
  )
    throw new OptionError(
      `a picture of ${width}x${height} needs ${width * height * 4} bytes, not ${data.length}`,
      {
        field: 'image',
        remedy: 'Give RGBA data, four bytes a pixel',
      },
    );
  const opaque = isOpaque(data);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, opaque ? RGB : RGB_ALPHA], 8);
  const pixels = filterPaeth(opaque ? dropAlpha(data) : new Uint8Array(data), width, height, opaque ? 3 : 4);
  return writePng([
    { type: 'IHDR', data: header },
    // Before the pixels, as Pillow does, so that a reader of the texts need not read those.
    ...Object.entries(options.text ?? {}).map(([keyword, text]) => textChunk(keyword, text)),
    { type: 'IDAT', data: await (options.deflate ?? deflate)(pixels) },
    { type: 'IEND', data: new Uint8Array() },
  ]);
}

/**
 * A PNG file of any colour type, as 8-bit RGBA, with its uncompressed texts; 16-bit values lose their low byte.
 * `name` is the file's, for messages. Throws FileFormatError for a file that is damaged, no PNG, over 2^26 pixels, or
 * interlaced with fewer than 8 bits.
 */
export function decodePng(file: Uint8Array, name = 'the picture'): DecodedPngFile {
  const chunks = readPng(file, name);
  const header = chunks[0];
  if (header.type !== 'IHDR' || header.data.length !== 13)
    throw refused(name, 'does not begin with an IHDR chunk', 'The picture is damaged; get it again');
  const view = new DataView(header.data.buffer, header.data.byteOffset, header.data.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  if (width * height === 0) throw refused(name, 'has no pixels', 'The picture is damaged; get it again');
  if (width * height > MAX_PIXELS)
    throw refused(
      name,
      `${width}x${height} pixels are too many`,
      `Scale it down to at most ${MAX_PIXELS} pixels`,
    );
  if (header.data[8] < 8 && header.data[12] !== 0)
    throw refused(
      name,
      'interlaced pictures of fewer than 8 bits are not read',
      'Save it without interlacing',
    );
  // Before memory is taken for pixels that cannot be there.
  const stored = chunks.reduce((sum, { type, data }) => sum + (type === 'IDAT' ? data.length : 0), 0);
  const pixelBits = header.data[8] * (CHANNELS.get(header.data[9]) ?? 1);
  if ((width * height * pixelBits) / 8 > MAX_DEFLATE_RATIO * stored)
    throw refused(name, 'ends before its last pixel', 'The picture is damaged; get it again');
  let decoded: DecodedPng;
  try {
    // Only what the pixels need: profiles and texts of any quality cannot get in the way.
    decoded = decode(writePng(chunks.filter(({ type }) => /^(IHDR|PLTE|tRNS|IDAT|IEND)$/.test(type))));
  } catch (cause) {
    throw refused(name, 'the pixels cannot be read', 'The picture is damaged; get it again', cause);
  }
  return { image: { width, height, data: toRgba(decoded, name) }, text: textsOf(chunks) };
}

function textsOf(chunks: readonly PngChunk[]): ReadonlyMap<string, string> {
  return new Map(chunks.map(readTextChunk).filter((text) => text !== undefined));
}

function refused(file: string, problem: string, remedy: string, cause?: unknown): FileFormatError {
  return new FileFormatError(problem, { file, remedy, cause });
}

function isOpaque(rgba: Uint8ClampedArray): boolean {
  for (let alpha = 3; alpha < rgba.length; alpha += 4) if (rgba[alpha] !== 255) return false;
  return true;
}

function dropAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let source = 0, target = 0; source < rgba.length; source += 4) {
    rgb[target++] = rgba[source];
    rgb[target++] = rgba[source + 1];
    rgb[target++] = rgba[source + 2];
  }
  return rgb;
}

/**
 * Rows with a leading 4, each byte less its Paeth prediction (PNG, section 9.4). A pixel has nothing to its left in the
 * first column, and nothing above it in the first row: the prediction is the other neighbour there.
 */
function filterPaeth(
  pixels: Uint8Array,
  width: number,
  height: number,
  channels: number,
): Uint8Array<ArrayBuffer> {
  const stride = width * channels;
  const out = new Uint8Array((stride + 1) * height);
  let target = 0;
  for (let row = 0; row < pixels.length; row += stride) {
    out[target++] = 4;
    const second = row + channels;
    const end = row + stride;
    for (let i = row; i < second; i++) out[target++] = row > 0 ? pixels[i] - pixels[i - stride] : pixels[i];
    if (row === 0) for (let i = second; i < end; i++) out[target++] = pixels[i] - pixels[i - channels];
    else
      for (let i = second; i < end; i++) {
        const left = pixels[i - channels];
        const up = pixels[i - stride];
        const corner = pixels[i - stride - channels];
        const toLeft = Math.abs(up - corner);
        const toUp = Math.abs(left - corner);
        const toCorner = Math.abs(left + up - 2 * corner);
        const prediction = toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
        out[target++] = pixels[i] - prediction;
      }
  }
  return out;
}

/** zlib's format (RFC 1950). */
async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const compressed = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(compressed).arrayBuffer());
}

function toRgba(decoded: DecodedPng, name: string): Uint8ClampedArray<ArrayBuffer> {
  const { width, height, depth, transparency } = decoded;
  const pixels = width * height;
  const { samples, channels } = toBytes(decoded, name);
  const grey = channels < 3;
  const rgba = new Uint8ClampedArray(pixels * 4);
  for (let p = 0; p < pixels; p++) {
    const source = p * channels;
    for (let c = 0; c < 3; c++) rgba[p * 4 + c] = samples[grey ? source : source + c];
    rgba[p * 4 + 3] = channels % 2 === 0 ? samples[source + channels - 1] : 255;
  }
  if (transparency?.length === channels) {
    // tRNS of grey and RGB pictures names one colour, in the file's own depth.
    const values = depth < 8 ? samples : decoded.data;
    const clear = Array.from(transparency, (value) => (depth < 8 ? (value * 255) / (2 ** depth - 1) : value));
    for (let p = 0; p < pixels; p++)
      if (clear.every((value, c) => values[p * channels + c] === value)) rgba[p * 4 + 3] = 0;
  }
  return rgba;
}

/** Samples of 8 bits, palettes looked up and packed samples unpacked. */
function toBytes(decoded: DecodedPng, name: string): { samples: ArrayLike<number>; channels: number } {
  const { width, height, data, depth, channels, palette } = decoded;
  if (palette && channels === 1) {
    try {
      return { samples: convertIndexedToRgb(decoded), channels: palette[0].length };
    } catch (cause) {
      throw refused(
        name,
        'the palette does not fit the pixels',
        'The picture is damaged; get it again',
        cause,
      );
    }
  }
  if (depth === 16) return { samples: Uint8Array.from(data, (value) => value >> 8), channels };
  if (depth === 8) return { samples: data, channels };
  // 1, 2 or 4 bits of grey; rows begin at whole bytes.
  const stride = Math.ceil((width * depth) / 8);
  const largest = 2 ** depth - 1;
  const samples = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      const packed = data[y * stride + (bit >> 3)] >> (8 - depth - (bit & 7));
      samples[y * width + x] = ((packed & largest) * 255) / largest;
    }
  return { samples, channels };
}
