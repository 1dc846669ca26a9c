/**
 * @file From a tokenizer's files to what runs it, as transformers 5 reads them: of a CLIP tokenizer.json only vocabulary,
 * merges and added tokens count (the class supplies the rest), while one of another class is run as it is.
 */
import * as v from 'valibot';
import { NotFoundError } from '../errors.ts';
import { later } from '../later.ts';
import { type ConfigContext, inconsistent, validate } from '../loaders/config.ts';
import { parseConfigJson } from '../loaders/json.ts';
import { joinPath } from '../loaders/model-source.ts';
import { assignIds, withDefaults } from './added-words.ts';
import {
  checkMerges,
  CLIP_DEFAULTS,
  type Merges,
  parseMerge,
  parseMerges,
  readVocabulary,
  type Vocabulary,
} from './clip-bpe.ts';
import { clipEngine } from './clip-engine.ts';
import {
  readSpecialTokens,
  type SpecialTokens,
  type TextFile,
  tokenizerJsonAddedSchema,
} from './special-tokens.ts';
import type { TokenEngine } from './token-engine.ts';
import { TOKENIZER_FILES, type TokenizerFileKey, type TokenizerFiles } from './tokenizer-file-names.ts';

/** What the files amount to. */
export interface TokenizerDefinition {
  readonly engine: TokenEngine;
  readonly special: SpecialTokens;
  readonly folder: string;
}

const tokenizerJsonSchema = v.looseObject({
  added_tokens: tokenizerJsonAddedSchema,
  normalizer: v.optional(v.unknown(), null),
  pre_tokenizer: v.optional(v.unknown(), null),
  post_processor: v.optional(v.unknown(), null),
  decoder: v.optional(v.unknown(), null),
  model: v.looseObject({ type: v.optional(v.string()), vocab: v.unknown() }),
});

const mergesSchema = v.array(
  v.union([v.string(), v.tuple([v.string(), v.string()])], 'expected two tokens'),
  'expected a list of merges',
);

/**
 * Reads a tokenizer's files. Throws NotFoundError for missing ones, FileFormatError for damaged ones and ConfigError
 * for fields that do not fit.
 */
export async function defineTokenizer(files: TokenizerFiles): Promise<TokenizerDefinition> {
  const folder = files.folder ?? '';
  const textOf = (key: TokenizerFileKey): TextFile | undefined => {
    const text = files[key];
    return text === undefined ? undefined : { file: joinPath(folder, TOKENIZER_FILES[key]), text };
  };
  const json = readTokenizerJson(textOf('tokenizerJson'));
  const special = readSpecialTokens({
    tokenizerConfig: textOf('tokenizerConfig'),
    specialTokensMap: textOf('specialTokensMap'),
    addedTokens: textOf('addedTokens'),
    tokenizerJsonAdded: json?.value.added_tokens ?? [],
  });
  const hasPieces = json === undefined && files.spieceModel !== undefined;
  const isClip = special.tokenizerClass?.startsWith('CLIPTokenizer') ?? (json === undefined && !hasPieces);
  if (!isClip) {
    const { defineOther } = await later('tokenizers of this class', () => import('./other-tokenizers.ts'));
    return defineOther(json, files.spieceModel, special, folder);
  }
  const { vocabulary, merges } =
    json === undefined
      ? readVocabularyFiles(textOf('vocabJson'), textOf('mergesTxt'), folder)
      : readVocabularyOf(json);
  return defineClip(vocabulary, merges, special, folder);
}

/** A tokenizer.json that was read. */
export interface TokenizerJson extends ConfigContext {
  readonly value: v.InferOutput<typeof tokenizerJsonSchema>;
}

function readTokenizerJson(file: TextFile | undefined): TokenizerJson | undefined {
  if (file === undefined) return undefined;
  return {
    file: file.file,
    value: validate(tokenizerJsonSchema, parseConfigJson(file.text, file.file), file),
  };
}

function defineClip(
  vocabulary: Vocabulary,
  merges: Merges,
  files: SpecialTokens,
  folder: string,
): TokenizerDefinition {
  const roles = {
    bos_token: files.roles.bos_token ?? CLIP_DEFAULTS.bos_token,
    eos_token: files.roles.eos_token ?? CLIP_DEFAULTS.eos_token,
    unk_token: files.roles.unk_token ?? CLIP_DEFAULTS.unk_token,
    pad_token: files.roles.pad_token ?? CLIP_DEFAULTS.pad_token,
  };
  const words = assignIds(withDefaults(files.added, Object.values(roles)), vocabulary, folder);
  const idOf = (role: 'bos_token' | 'eos_token'): number => {
    const id = vocabulary.get(roles[role]);
    // Framing every prompt with an id that the model has no embedding for cannot be meant.
    if (id === undefined)
      throw inconsistent(
        { file: joinPath(folder, TOKENIZER_FILES.tokenizerConfig) },
        role,
        `${JSON.stringify(roles[role])} is not in the vocabulary`,
      );
    return id;
  };
  const engine = clipEngine(
    { vocabulary, merges, unknown: roles.unk_token, bosId: idOf('bos_token'), eosId: idOf('eos_token') },
    words,
  );
  return { engine, special: { ...files, roles }, folder };
}

function readVocabularyFiles(vocab: TextFile | undefined, merges: TextFile | undefined, folder: string) {
  if (vocab === undefined || merges === undefined) {
    const missing = vocab === undefined ? TOKENIZER_FILES.vocabJson : TOKENIZER_FILES.mergesTxt;
    throw new NotFoundError(`there is no tokenizer.json, and ${missing} is missing`, {
      file: folder === '' ? 'the tokenizer' : folder,
      remedy: 'Get tokenizer.json, or vocab.json and merges.txt, from where the model was published',
    });
  }
  const vocabulary = readVocabulary(parseConfigJson(vocab.text, vocab.file), vocab);
  const pairs = parseMerges(merges.text, merges.file);
  checkMerges(pairs, vocabulary, merges.file);
  return { vocabulary, merges: pairs };
}

function readVocabularyOf({ file, value: { model } }: TokenizerJson) {
  if (model.type !== undefined && model.type !== 'BPE')
    throw inconsistent({ file }, 'model.type', `CLIP's tokenizer is of type BPE, not ${model.type}`);
  const vocabulary = readVocabulary(model.vocab, { file });
  const listed = validate(v.looseObject({ merges: mergesSchema }), model, { file }).merges;
  const merges = listed.map((merge, index) =>
    typeof merge === 'string' ? parseMerge(merge, file, `model.merges.${index}`) : merge,
  );
  checkMerges(merges, vocabulary, file);
  return { vocabulary, merges };
}
