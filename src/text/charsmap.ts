/**
 * @file SentencePiece's precompiled normaliser: a table from sequences of characters to what they become, kept as a
 * double-array trie over UTF-8 (darts-clone) that leads to strings. As Hugging Face's spm_precompiled applies it.
 */
import { FileFormatError } from '../errors.ts';

/** Graphemes of as many bytes or more are looked up character by character. */
const GRAPHEME_BYTES = 6;

/**
 * Reads a table.
 * @param bytes the trie's length in bytes, the trie (both little-endian uint32), and strings that end with a zero
 * @throws FileFormatError if the lengths do not fit
 */
export function readCharsmap(bytes: Uint8Array, file: string): (text: string) => string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? 0 : view.getUint32(0, true);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > bytes.length - 4)
    throw new FileFormatError(
      `a trie of ${trieBytes} bytes does not fit into a table of ${bytes.length} bytes`,
      { file, field: 'precompiled_charsmap', remedy: 'Get the file again from where it was published' },
    );
  const unit = (index: number): number =>
    4 * index + 4 <= trieBytes ? view.getUint32(4 + 4 * index, true) : 0;
  const strings = bytes.subarray(4 + trieBytes);
  const decoder = new TextDecoder();

  /** What the shortest entry that a text begins with becomes, or undefined if it begins with none. */
  const lookUp = (text: Uint8Array): string | undefined => {
    let at = offset(unit(0));
    for (const byte of text) {
      at ^= byte;
      const node = unit(at);
      if (byte === 0 || label(node) !== byte) return undefined;
      at ^= offset(node);
      if (((node >>> 8) & 1) === 1) {
        const from = unit(at) & 0x7fffffff;
        const to = strings.indexOf(0, from);
        return decoder.decode(strings.subarray(from, to < 0 ? undefined : to));
      }
    }
    return undefined;
  };

  const encoder = new TextEncoder();
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  const normalize = (part: string): string | undefined => lookUp(encoder.encode(part));
  return (text) =>
    Array.from(graphemes.segment(text), ({ segment }) => {
      const whole = encoder.encode(segment).length < GRAPHEME_BYTES ? normalize(segment) : undefined;
      return whole ?? Array.from(segment, (character) => normalize(character) ?? character).join('');
    }).join('');
}

/** The byte that leads to a node; none for leaves. */
function label(node: number): number {
  return (node & 0x800000ff) >>> 0;
}

/** How far a node's children are. */
function offset(node: number): number {
  return (node >>> 10) << ((node & 0x200) >>> 6);
}
