/** @file T5's tokenizer for @huggingface/tokenizers, and normalisers by table, which that does not run exactly. */
import * as v from 'valibot';
import { validate } from '../loaders/config.ts';
import { readCharsmap } from './charsmap.ts';
import type { SentencePieceModel } from './sentencepiece.ts';

/** Applied to a text before all else. */
export type Normalize = (text: string) => string;

/** The classes whose vocabulary may be a spiece.model. */
export const T5_CLASS = /^T5Tokenizer(Fast)?$/;

/** T5's special tokens where no file names them. */
export const T5_DEFAULTS = { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' } as const;

/** As transformers' T5Tokenizer sets it up: words of Unigram pieces, and the end token. */
export function t5TokenizerJson(
  { pieces, unknownId }: SentencePieceModel,
  eos: readonly [token: string, id: number],
): Record<string, unknown> {
  const words = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  return {
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, words] },
    model: { type: 'Unigram', vocab: pieces, unk_id: unknownId, byte_fallback: false },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: eos[0], type_id: 0 } }],
      pair: [],
      special_tokens: { [eos[0]]: { id: eos[0], ids: [eos[1]], tokens: [eos[0]] } },
    },
    decoder: words,
  };
}

const precompiledSchema = v.looseObject({
  type: v.literal('Precompiled'),
  precompiled_charsmap: v.pipe(v.string(), v.base64('expected base64')),
});
const sequenceSchema = v.looseObject({ type: v.literal('Sequence'), normalizers: v.array(v.unknown()) });

/**
 * Takes the table off a tokenizer.json's normaliser where that begins with one.
 * @throws ConfigError for a table that is no base64, FileFormatError for a damaged one
 */
export function takeCharsmap(
  normalizer: unknown,
  file: string,
): { readonly normalizer: unknown; readonly normalize?: Normalize } {
  const steps = v.is(sequenceSchema, normalizer) ? normalizer.normalizers : [normalizer];
  if (!v.is(v.looseObject({ type: v.literal('Precompiled') }), steps[0])) return { normalizer };
  const { precompiled_charsmap: table } = validate(precompiledSchema, steps[0], { file });
  const bytes = Uint8Array.from(atob(table), (character) => character.charCodeAt(0));
  const rest = steps.slice(1);
  return {
    normalizer: rest.length === 0 ? null : { type: 'Sequence', normalizers: rest },
    normalize: readCharsmap(bytes, file),
  };
}
