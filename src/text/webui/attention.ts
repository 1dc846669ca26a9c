/**
 * @file Attention weights in prompts, in the syntax of stable-diffusion-webui (its wiki, "Features: Attention/emphasis"):
 *
 *     (word)      times 1.1                 [word]     divided by 1.1
 *     (word:1.3)  times 1.3                 \( \[ \\   the character itself
 *     BREAK       the rest in another chunk
 *
 * Brackets nest and multiply. One that is never closed reaches to the end; a closing one without its opening is text.
 *
 * sd-webui's parser writes a BREAK down as that word with the weight -1, brackets multiply it like any other, and what
 * still has that weight when chunks are cut ends one (`parse_prompt_attention`, `tokenize_line`). So a BREAK inside
 * weighted brackets is none there: it is the word "BREAK" with a negative weight. It is the same here.
 */

import { OptionError } from '../../errors.ts';
import { checkDepth } from './limits.ts';

/** A piece of a prompt and its weight. */
export interface WeightedText {
  readonly text: string;
  readonly weight: number;
}

const ROUND = 1.1;
const SQUARE = 1 / 1.1;

/** In this order: an escape, an opening bracket, `:1.3)`, a closing bracket, text, and a colon that is text. */
const TOKEN =
  /\\(?<escaped>[()[\]\\]?)|(?<open>[([])|:\s*(?<weight>[+-]?[.\d]+)\s*\)|(?<close>[)\]])|[^\\()[\]:]+|:/gy;
const BREAK = /\s*(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])\s*/u;
/** The weight that a BREAK begins with. */
const BREAK_WEIGHT = -1;

/** A bracket that is open, and the first piece in it. */
interface Open {
  readonly bracket: string;
  readonly first: number;
}

/**
 * The pieces of a prompt with their weights, neighbours of the same weight joined, and `'BREAK'` between chunks.
 * @param field option that the prompt is from, for messages
 * @throws OptionError for a weight that is no number, one that is out of range, and over 100 open brackets
 */
export function parseAttention(prompt: string, field = 'prompt'): (WeightedText | 'BREAK')[] {
  const pieces: { text: string; weight: number }[] = [];
  const open: Open[] = [];
  const multiply = (first: number, factor: number): void => {
    for (const piece of pieces.slice(first)) piece.weight *= factor;
  };
  /** Closes the innermost open bracket of a kind, wherever it is among the open ones of the other kind. */
  const close = (bracket: string, factor: number): boolean => {
    const index = open.findLastIndex((one) => one.bracket === bracket);
    if (index < 0) return false;
    multiply(open[index].first, factor);
    open.splice(index, 1);
    return true;
  };
  const add = (text: string): void => {
    for (const [i, part] of text.split(BREAK).entries()) {
      if (i > 0) pieces.push({ text: 'BREAK', weight: BREAK_WEIGHT });
      pieces.push({ text: part, weight: 1 });
    }
  };

  for (const { 0: text, groups = {} } of prompt.matchAll(TOKEN)) {
    const { escaped, open: opening, weight, close: closing } = groups;
    if (escaped !== undefined) pieces.push({ text: escaped, weight: 1 });
    else if (opening !== undefined) {
      open.push({ bracket: opening, first: pieces.length });
      checkDepth(open.length, field);
    } else if (weight !== undefined) {
      if (!close('(', readWeight(weight, field))) add(text);
    } else if (closing !== undefined) {
      const closed = closing === ')' ? close('(', ROUND) : close('[', SQUARE);
      if (!closed) add(text);
    } else add(text);
  }
  for (const { bracket, first } of open) multiply(first, bracket === '(' ? ROUND : SQUARE);
  return joinEqual(pieces, field).map((piece) =>
    piece.text === 'BREAK' && piece.weight === BREAK_WEIGHT ? 'BREAK' : piece,
  );
}

function readWeight(text: string, field: string): number {
  const weight = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : NaN;
  if (!Number.isNaN(weight)) return weight;
  throw new OptionError(`"${text}" is not a weight`, {
    field,
    remedy: 'Write (word:1.3), or \\( and \\) for brackets that are text',
  });
}

/** Far beyond what leaves anything of a picture, and far from where numbers run over. */
const MAX_WEIGHT = 1e6;

function joinEqual(pieces: readonly WeightedText[], field: string): WeightedText[] {
  const joined: WeightedText[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (Math.abs(piece.weight) > MAX_WEIGHT)
      throw new OptionError(`"${piece.text}" has the weight ${piece.weight}`, {
        field,
        remedy: 'Useful weights are between 0 and 2',
      });
    if (last?.weight === piece.weight)
      joined[joined.length - 1] = { text: last.text + piece.text, weight: last.weight };
    else joined.push(piece);
  }
  // Two BREAKs have an empty piece between them, which keeps them from being joined.
  return joined.filter(({ text }) => text !== '');
}
