/** @file Tokenizers of other classes than CLIP's: T5's from spiece.model, and any from its tokenizer.json. */
import { ConfigError, NotFoundError } from '../errors.ts';
import { inconsistent } from '../loaders/config.ts';
import { joinPath } from '../loaders/model-source.ts';
import { assignIds, withDefaults } from './added-words.ts';
import { readCharsmap } from './charsmap.ts';
import { readVocabulary } from './clip-bpe.ts';
import { libraryEngine } from './library-engine.ts';
import { readSentencePiece } from './sentencepiece.ts';
import type { SpecialTokens } from './special-tokens.ts';
import { T5_CLASS, T5_DEFAULTS, t5TokenizerJson, takeCharsmap } from './t5-unigram.ts';
import { SPIECE_MODEL, TOKENIZER_FILES } from './tokenizer-file-names.ts';
import type { TokenizerDefinition, TokenizerJson } from './tokenizer-files.ts';

/**
 * What runs a tokenizer of another class than CLIP's.
 * @param pieces the content of spiece.model
 * @throws ConfigError, FileFormatError or NotFoundError as `defineTokenizer`
 */
export function defineOther(
  json: TokenizerJson | undefined,
  pieces: Uint8Array | undefined,
  special: SpecialTokens,
  folder: string,
): TokenizerDefinition {
  if (json) return defineByJson(json, special, folder);
  if (T5_CLASS.test(special.tokenizerClass ?? 'T5Tokenizer')) return defineT5(pieces, special, folder);
  throw new ConfigError(`the class ${special.tokenizerClass} can only be read from a tokenizer.json`, {
    file: joinPath(folder, TOKENIZER_FILES.tokenizerConfig),
    field: 'tokenizer_class',
    remedy: `Save one with transformers: ${special.tokenizerClass}.from_pretrained(...).save_pretrained(...)`,
  });
}

/** A class whose tokenizer.json is run as it is. */
function defineByJson(
  { file, value }: TokenizerJson,
  special: SpecialTokens,
  folder: string,
): TokenizerDefinition {
  const { vocab } = value.model;
  // Unigram models list [token, score]; the index is the id.
  const vocabulary = Array.isArray(vocab)
    ? new Map(
        vocab.map((entry: unknown, id) => [Array.isArray(entry) ? String(entry[0]) : String(entry), id]),
      )
    : readVocabulary(vocab, { file });
  const words = assignIds(special.added, vocabulary, folder);
  const { normalizer, normalize } = takeCharsmap(value.normalizer, file);
  const engine = libraryEngine({ json: { ...value, normalizer }, normalize, file }, words);
  return { engine, special, folder };
}

/** T5's class from SentencePiece's own file. */
function defineT5(bytes: Uint8Array | undefined, files: SpecialTokens, folder: string): TokenizerDefinition {
  const file = joinPath(folder, SPIECE_MODEL);
  if (bytes === undefined)
    throw new NotFoundError(`there is neither a tokenizer.json nor a ${SPIECE_MODEL}`, {
      file: folder === '' ? 'the tokenizer' : folder,
      remedy: 'Get either from where the model was published',
    });
  const model = readSentencePiece(bytes, file);
  const vocabulary = new Map(model.pieces.map(([piece], id) => [piece, id]));
  const roles = {
    bos_token: files.roles.bos_token,
    eos_token: files.roles.eos_token ?? T5_DEFAULTS.eos_token,
    unk_token: files.roles.unk_token ?? T5_DEFAULTS.unk_token,
    pad_token: files.roles.pad_token ?? T5_DEFAULTS.pad_token,
  };
  const eos = vocabulary.get(roles.eos_token);
  if (eos === undefined)
    throw inconsistent(
      { file },
      'pieces',
      `${JSON.stringify(roles.eos_token)}, the end token, is not among them`,
    );
  const json = t5TokenizerJson(model, [roles.eos_token, eos]);
  const words = assignIds(withDefaults(files.added, Object.values(roles)), vocabulary, folder);
  const normalize = model.charsmap.length === 0 ? undefined : readCharsmap(model.charsmap, file);
  return { engine: libraryEngine({ json, normalize, file }, words), special: { ...files, roles }, folder };
}
