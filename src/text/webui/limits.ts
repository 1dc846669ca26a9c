/** @file What prompts in sd-webui's syntax may not exceed, so that parsing one stays quick whatever it holds. */

import { OptionError } from '../../errors.ts';

/** Brackets that may be open at once; 1.1 to this power is 13,780. */
const MAX_DEPTH = 100;
const MAX_CHARACTERS = 65_536;

/** @throws OptionError where this many brackets are open at once */
export function checkDepth(depth: number, field: string): void {
  if (depth > MAX_DEPTH)
    throw new OptionError(`it has over ${MAX_DEPTH} brackets open at once`, {
      field,
      remedy: 'Close them, write (word:1.5) for a weight, and \\( for a bracket that is text',
    });
}

/** @throws OptionError for a prompt that is too long to be meant */
export function checkLength(text: string, field: string): void {
  if (text.length > MAX_CHARACTERS)
    throw new OptionError(`it has ${text.length} characters`, {
      field,
      remedy: `Give a prompt of at most ${MAX_CHARACTERS}`,
    });
}
