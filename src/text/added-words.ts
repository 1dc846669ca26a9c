/** @file From the special tokens that files name to words with ids. */
import { inconsistent } from '../loaders/config.ts';
import { joinPath } from '../loaders/model-source.ts';
import type { Vocabulary } from './clip-bpe.ts';
import type { AddedToken } from './special-tokens.ts';
import type { AddedWord } from './token-engine.ts';
import { TOKENIZER_FILES } from './tokenizer-file-names.ts';

/** Added tokens, and the named ones that are not among them. */
export function withDefaults(
  added: readonly AddedToken[],
  named: readonly (string | undefined)[],
): AddedToken[] {
  const known = new Set(added.map(({ content }) => content));
  const missing = [...new Set(named)].filter((content) => content !== undefined && !known.has(content));
  return [
    ...added,
    ...missing.map((content = '') => ({
      content,
      id: undefined,
      normalized: false,
      lstrip: false,
      rstrip: false,
      special: true,
    })),
  ];
}

/** Gives every added token its id: the vocabulary's, its own, or the next free one. */
export function assignIds(
  tokens: readonly AddedToken[],
  vocabulary: Vocabulary,
  folder: string,
): AddedWord[] {
  let next = 0;
  for (const id of vocabulary.values()) next = Math.max(next, id + 1);
  for (const { id } of tokens) next = Math.max(next, (id ?? -1) + 1);
  return tokens.map(({ content, id: declared, ...flags }) => {
    const own = vocabulary.get(content);
    if (own !== undefined && declared !== undefined && own !== declared)
      throw inconsistent(
        { file: joinPath(folder, TOKENIZER_FILES.tokenizerConfig) },
        content,
        `is declared with the id ${declared}, but the vocabulary gives it ${own}`,
      );
    return { ...flags, content, id: own ?? declared ?? next++ };
  });
}
