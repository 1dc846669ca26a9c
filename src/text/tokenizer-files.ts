/**
 * @file From a tokenizer's files to the JSON object that @huggingface/tokenizers runs, as transformers 5
 * reads them: of a CLIP tokenizer.json only vocabulary, merges and added tokens count (the class supplies the rest),
 * while one of another class is run as it is.
 */
import * as v from 'valibot';
import { ConfigError, NotFoundError } from '../errors.ts';
import { type ConfigContext, inconsistent, validate } from '../loaders/config.ts';
import { parseConfigJson } from '../loaders/json.ts';
import { joinPath } from '../loaders/model-source.ts';
import {
  checkMerges,
  CLIP_DEFAULTS,
  clipTokenizerJson,
  type Merges,
  parseMerge,
  parseMerges,
  readVocabulary,
  type Vocabulary,
} from './clip-bpe.ts';
import { readCharsmap } from './charsmap.ts';
import { readSentencePiece } from './sentencepiece.ts';
import {
  type AddedToken,
  readSpecialTokens,
  type SpecialTokens,
  type TextFile,
  tokenizerJsonAddedSchema,
} from './special-tokens.ts';
import { type Normalize, T5_CLASS, T5_DEFAULTS, t5TokenizerJson, takeCharsmap } from './t5-unigram.ts';

/** The texts of a tokenizer's files; those that a repository lacks are left out. */
export interface TokenizerFiles {
  /** Folder that the files are from, for messages. Default ''. */
  readonly folder?: string;
  /** tokenizer.json; where it is missing, vocab.json and merges.txt are needed. */
  readonly tokenizerJson?: string | undefined;
  readonly vocabJson?: string | undefined;
  readonly mergesTxt?: string | undefined;
  readonly tokenizerConfig?: string | undefined;
  readonly specialTokensMap?: string | undefined;
  readonly addedTokens?: string | undefined;
  /** spiece.model, which T5 has in the place of tokenizer.json. */
  readonly spieceModel?: Uint8Array | undefined;
}

/** SentencePiece's file. */
export const SPIECE_MODEL = 'spiece.model';

/** Names of text files by key. */
export const TOKENIZER_FILES = {
  tokenizerJson: 'tokenizer.json',
  vocabJson: 'vocab.json',
  mergesTxt: 'merges.txt',
  tokenizerConfig: 'tokenizer_config.json',
  specialTokensMap: 'special_tokens_map.json',
  addedTokens: 'added_tokens.json',
} as const;
export type TokenizerFileKey = keyof typeof TOKENIZER_FILES;

/** What the files amount to. */
export interface TokenizerDefinition {
  /** For @huggingface/tokenizers. */
  readonly json: Record<string, unknown>;
  readonly special: SpecialTokens;
  /** Whether it is CLIP's. */
  readonly clip: boolean;
  readonly folder: string;
  /** What comes before the normaliser of `json`. */
  readonly normalize?: Normalize;
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
export function defineTokenizer(files: TokenizerFiles): TokenizerDefinition {
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
  const pieces = json === undefined ? files.spieceModel : undefined;
  const isT5 = T5_CLASS.test(special.tokenizerClass ?? (pieces ? 'T5Tokenizer' : ''));
  if (isT5 && json === undefined) return defineT5(pieces, special, folder);
  const clip = special.tokenizerClass?.startsWith('CLIPTokenizer') ?? json === undefined;
  if (!clip) {
    if (json === undefined) throw unsupportedClass(folder, special);
    return defineOther(json, special, folder);
  }
  const { vocabulary, merges } =
    json === undefined
      ? readVocabularyFiles(textOf('vocabJson'), textOf('mergesTxt'), folder)
      : readVocabularyOf(json);
  return defineClip(vocabulary, merges, special, folder);
}

interface TokenizerJson extends ConfigContext {
  readonly value: v.InferOutput<typeof tokenizerJsonSchema>;
}

function readTokenizerJson(file: TextFile | undefined): TokenizerJson | undefined {
  if (file === undefined) return undefined;
  return {
    file: file.file,
    value: validate(tokenizerJsonSchema, parseConfigJson(file.text, file.file), file),
  };
}

/** A class whose tokenizer.json is run as it is. */
function defineOther(json: TokenizerJson, special: SpecialTokens, folder: string): TokenizerDefinition {
  const { vocab } = json.value.model;
  // Unigram models list [token, score]; the index is the id.
  const vocabulary = Array.isArray(vocab)
    ? new Map(
        vocab.map((entry: unknown, id) => [Array.isArray(entry) ? String(entry[0]) : String(entry), id]),
      )
    : readVocabulary(vocab, { file: json.file });
  const added_tokens = assignIds(special.added, vocabulary, folder);
  const { normalizer, normalize } = takeCharsmap(json.value.normalizer, json.file);
  const definition = { json: { ...json.value, normalizer, added_tokens }, special, clip: false, folder };
  return normalize ? { ...definition, normalize } : definition;
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
  const added_tokens = assignIds(withDefaults(files.added, Object.values(roles)), vocabulary, folder);
  const normalize = model.charsmap.length === 0 ? undefined : readCharsmap(model.charsmap, file);
  const definition = { json: { ...json, added_tokens }, special: { ...files, roles }, clip: false, folder };
  return normalize ? { ...definition, normalize } : definition;
}

/** Added tokens, and the named ones that are not among them. */
function withDefaults(added: readonly AddedToken[], named: readonly (string | undefined)[]): AddedToken[] {
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
  const added_tokens = assignIds(withDefaults(files.added, Object.values(roles)), vocabulary, folder);
  const idOf = (role: 'bos_token' | 'eos_token'): readonly [string, number] => {
    const id = vocabulary.get(roles[role]);
    // Framing every prompt with an id that the model has no embedding for cannot be meant.
    if (id === undefined)
      throw inconsistent(
        { file: joinPath(folder, TOKENIZER_FILES.tokenizerConfig) },
        role,
        `${JSON.stringify(roles[role])} is not in the vocabulary`,
      );
    return [roles[role], id];
  };
  const json = clipTokenizerJson({
    vocabulary,
    merges,
    unknown: roles.unk_token,
    bos: idOf('bos_token'),
    eos: idOf('eos_token'),
  });
  return { json: { ...json, added_tokens }, special: { ...files, roles }, clip: true, folder };
}

/** Gives every added token its id: the vocabulary's, its own, or the next free one. */
function assignIds(tokens: readonly AddedToken[], vocabulary: Vocabulary, folder: string): object[] {
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

function unsupportedClass(folder: string, special: SpecialTokens): ConfigError {
  return new ConfigError(`the class ${special.tokenizerClass} can only be read from a tokenizer.json`, {
    file: joinPath(folder, TOKENIZER_FILES.tokenizerConfig),
    field: 'tokenizer_class',
    remedy: `Save one with transformers: ${special.tokenizerClass}.from_pretrained(...).save_pretrained(...)`,
  });
}
