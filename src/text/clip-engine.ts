/**
 * @file CLIP's byte-pair tokenizer, with the normaliser, splitting pattern and framing that transformers' CLIPTokenizer puts
 * around vocab.json and merges.txt.
 *
 * Unlike OpenAI's own code it neither repairs mojibake nor unescapes HTML (`&amp;` stays five characters); diffusers
 * does not either.
 */
import type { Merges, Vocabulary } from './clip-bpe.ts';
import type { AddedWord, TokenEngine } from './token-engine.ts';

/** What a CLIP tokenizer is made of. */
export interface ClipParts {
  readonly vocabulary: Vocabulary;
  readonly merges: Merges;
  readonly bosId: number;
  readonly eosId: number;
  /** Stands for what is not in the vocabulary. */
  readonly unknown: string;
}

/** Ends the last piece of every word. */
const END_OF_WORD = '</w>';

/** Not `\s`, which takes U+FEFF for white space. */
const SPACES = /\p{White_Space}+/gu;
const WORD = String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\p{White_Space}\p{L}\p{N}]+`;
const WORDS = new RegExp(WORD, 'gu');
const FRAMED_WORDS = new RegExp(String.raw`<\|startoftext\|>|<\|endoftext\|>|${WORD}`, 'gu');

/** The engine of a tokenizer with these added words. */
export function clipEngine(parts: ClipParts, words: readonly AddedWord[]): TokenEngine {
  const ranks = new Map(parts.merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
  return engineWith(parts, ranks, words);
}

function engineWith(
  parts: ClipParts,
  ranks: ReadonlyMap<string, number>,
  words: readonly AddedWord[],
): TokenEngine {
  const { vocabulary, unknown, bosId, eosId } = parts;
  const added = new Map(words.map((word) => [word.content, word.id]));
  const cutTyped = cutter(words.filter(({ normalized }) => !normalized).map((word) => [word.content, word]));
  const cutNormalized = cutter(
    words.filter(({ normalized }) => normalized).map((word) => [normalize(word.content), word]),
  );
  const idOf = (token: string): number | undefined => added.get(token) ?? vocabulary.get(token);
  const unknownId = idOf(unknown) ?? eosId;
  let contents: Map<number, string> | undefined;

  const encodeRest = (text: string): number[] =>
    (text.match(FRAMED_WORDS) ?? [])
      // The original splits a second time, which only takes a typed "<|endoftext|>" apart.
      .flatMap((word) => word.match(WORDS) ?? [])
      .flatMap((word) => mergePairs(pieces(word), ranks))
      .map((piece) => idOf(piece) ?? unknownId);

  return {
    prefix: [bosId],
    suffix: [eosId],
    idOf,
    tokenize: (text) =>
      cutTyped(text).flatMap((part) =>
        typeof part === 'string'
          ? cutNormalized(normalize(part)).flatMap((inner) =>
              typeof inner === 'string' ? encodeRest(inner) : [inner.id],
            )
          : [part.id],
      ),
    decode(ids) {
      contents ??= new Map([...vocabulary, ...added].map(([content, id]) => [id, content]));
      const tokens = ids.map((id) => contents?.get(id) ?? unknown);
      return decodePieces(tokens, added).replaceAll(END_OF_WORD, ' ');
    },
    withWords: (more) => engineWith(parts, ranks, [...words, ...more]),
  };
}

/** What CLIP makes of a text before it looks words up. */
function normalize(text: string): string {
  // On its own, character by character, capital sigma becomes no final sigma at the end of a word, as in the original.
  return text.normalize('NFC').replaceAll(SPACES, ' ').replaceAll('\u03a3', '\u03c3').toLowerCase();
}

/** Cuts words out of texts, the longest that stands at a place; white space at its sides goes with a word that says so. */
function cutter(
  words: readonly (readonly [text: string, word: AddedWord])[],
): (text: string) => (string | AddedWord)[] {
  const byText = new Map(words.filter(([text]) => text !== ''));
  if (byText.size === 0) return (text) => [text];
  const longestFirst = [...byText.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(`(${longestFirst.map(escapeRegExp).join('|')})`);
  return (text) => {
    const parts = text.split(pattern).map((part, i) => (i % 2 === 1 ? (byText.get(part) ?? part) : part));
    return parts.map((part, i) => {
      if (typeof part !== 'string') return part;
      const [before, after] = [parts[i - 1], parts[i + 1]];
      const head = typeof before === 'object' && before.rstrip ? part.trimStart() : part;
      return typeof after === 'object' && after.lstrip ? head.trimEnd() : head;
    });
  };
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}

/** GPT-2's printable character for each byte: itself, or one from U+0100 on in place of white space and control codes. */
const BYTE_CHARACTERS: readonly string[] = /* @__PURE__ */ byteCharacters();
const CHARACTER_BYTES: ReadonlyMap<string, number> = /* @__PURE__ */ new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(isPrintable ? byte : next++);
  });
}

/** The bytes of a word as characters, the last of them with the mark that the word ends. */
function pieces(word: string): string[] {
  const characters = Array.from(new TextEncoder().encode(word), (byte) => BYTE_CHARACTERS[byte]);
  characters[characters.length - 1] += END_OF_WORD;
  return characters;
}

/**
 * Joins the pair that comes first among the merges wherever it stands, until no pair is one of them; in place. Pairs are looked
 * up only where something was joined: a word of ten thousand letters takes thousands of rounds.
 */
function mergePairs(word: string[], ranks: ReadonlyMap<string, number>): string[] {
  const rankOf = (left: string, right: string): number => ranks.get(`${left} ${right}`) ?? Infinity;
  const pairs = word.slice(1).map((right, i) => rankOf(word[i], right));
  for (;;) {
    const best = pairs.reduce((least, rank) => Math.min(least, rank), Infinity);
    if (best === Infinity) return word;
    let to = 0;
    let joinedBefore = false;
    for (let i = 0; i < word.length; i++) {
      const joins = pairs[i] === best;
      const kept = pairs[i - 1];
      const piece = joins ? word[i] + word[++i] : word[i];
      if (to > 0) pairs[to - 1] = joins || joinedBefore ? rankOf(word[to - 1], piece) : kept;
      word[to++] = piece;
      joinedBefore = joins;
    }
    word.length = to;
    pairs.length = to - 1;
  }
}

/** The text of tokens: bytes as UTF-8, added words as they are. */
function decodePieces(tokens: readonly string[], added: ReadonlyMap<string, number>): string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let text = '';
  let bytes: number[] = [];
  const flush = (): void => {
    text += decoder.decode(Uint8Array.from(bytes));
    bytes = [];
  };
  for (const token of tokens)
    if (added.has(token)) {
      flush();
      text += token;
    } else bytes.push(...Array.from(token, (character) => CHARACTER_BYTES.get(character) ?? 0));
  flush();
  return text;
}
