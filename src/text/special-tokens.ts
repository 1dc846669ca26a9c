/**
 * @file Special tokens and length limit of a tokenizer, read from the small files beside its vocabulary in the order
 * that transformers 5 reads them (`PreTrainedTokenizerBase._from_pretrained` and `TokenizersBackend.__init__`).
 */
import * as v from 'valibot';
import { inconsistent, validate } from '../loaders/config.ts';
import { parseConfigJson } from '../loaders/json.ts';

/** A token that is cut out of the text before the vocabulary is applied to the rest. */
export interface AddedToken {
  readonly content: string;
  /** Its id, or undefined to look it up in the vocabulary or, if it is not there either, to append it. */
  readonly id: number | undefined;
  /** Matched in the normalised (lower-cased) text rather than in the text as typed. */
  readonly normalized: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly special: boolean;
}

/** The named special tokens that diffusion models use. */
const TOKEN_ROLES = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;
type TokenRole = (typeof TOKEN_ROLES)[number];

/** What the files beside the vocabulary say. */
export interface SpecialTokens {
  /** Content of each named token; undefined where no file names one. */
  readonly roles: Readonly<Record<TokenRole, string | undefined>>;
  /** All tokens to be cut out of the text, each content once. */
  readonly added: readonly AddedToken[];
  /** Longest input in tokens, special ones included; Infinity where the files set no limit. */
  readonly modelMaxLength: number;
  /** `tokenizer_class`, if given. */
  readonly tokenizerClass: string | undefined;
}

/** One of the files, for messages and content. */
export interface TextFile {
  readonly file: string;
  readonly text: string;
}

/** transformers writes 1e30 for "no limit"; no model takes more tokens than this. */
export const MAX_LENGTH = 1_000_000;

const addedTokenSchema = v.looseObject({
  content: v.string(),
  normalized: v.optional(v.boolean()),
  lstrip: v.optional(v.boolean(), false),
  rstrip: v.optional(v.boolean(), false),
  single_word: v.optional(
    v.literal(false, 'tokens that only match as single words are not supported'),
    false,
  ),
  special: v.optional(v.boolean()),
});
type AddedTokenJson = v.InferOutput<typeof addedTokenSchema>;

const namedTokenSchema = v.optional(
  v.nullable(v.union([v.string(), addedTokenSchema], 'expected a token, or an object with its content')),
);
type NamedToken = v.InferOutput<typeof namedTokenSchema>;

const rolesSchema = v.looseObject({
  bos_token: namedTokenSchema,
  eos_token: namedTokenSchema,
  unk_token: namedTokenSchema,
  pad_token: namedTokenSchema,
});

const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const configSchema = v.looseObject({
  ...rolesSchema.entries,
  added_tokens_decoder: v.optional(
    v.record(v.pipe(v.string(), v.regex(/^\d+$/, 'expected token ids as keys')), addedTokenSchema),
  ),
  model_max_length: v.optional(v.nullable(v.pipe(v.number(), v.minValue(2)))),
  padding_side: v.optional(v.literal('right', 'only padding on the right is supported'), 'right'),
  truncation_side: v.optional(v.literal('right', 'only truncation on the right is supported'), 'right'),
  tokenizer_class: v.optional(v.nullable(v.string())),
});

/** The `added_tokens` of tokenizer.json. */
export const tokenizerJsonAddedSchema = v.optional(
  v.array(v.looseObject({ ...addedTokenSchema.entries, id: tokenId })),
  [],
);

/**
 * Merges the files. With `added_tokens_decoder` in tokenizer_config.json, that alone counts; without it, as in older
 * repositories, special_tokens_map.json overrides tokenizer_config.json (SD2.1's pad token comes from there), and
 * added_tokens.json and the `added_tokens` of tokenizer.json are added.
 * Throws FileFormatError for broken JSON and ConfigError for a field that does not fit.
 */
export function readSpecialTokens(files: {
  readonly tokenizerConfig: TextFile | undefined;
  readonly specialTokensMap: TextFile | undefined;
  readonly addedTokens: TextFile | undefined;
  readonly tokenizerJsonAdded: v.InferOutput<typeof tokenizerJsonAddedSchema>;
}): SpecialTokens {
  const config = read(configSchema, files.tokenizerConfig);
  const decoder = config?.added_tokens_decoder;
  const map = decoder === undefined ? read(rolesSchema, files.specialTokensMap) : undefined;
  const named: Record<TokenRole, NamedToken> = {
    bos_token: map?.bos_token ?? config?.bos_token,
    eos_token: map?.eos_token ?? config?.eos_token,
    unk_token: map?.unk_token ?? config?.unk_token,
    pad_token: map?.pad_token ?? config?.pad_token,
  };
  const declared = new Map<number, AddedTokenJson>();
  if (decoder !== undefined)
    for (const [id, token] of Object.entries(decoder)) declared.set(Number(id), token);
  else {
    const specials = new Set(TOKEN_ROLES.map((role) => contentOf(named[role])));
    for (const [content, id] of readAddedTokens(files.addedTokens)) {
      const special = specials.has(content);
      declared.set(id, {
        content,
        special,
        normalized: !special,
        lstrip: false,
        rstrip: false,
        single_word: false,
      });
    }
    for (const token of files.tokenizerJsonAdded) declared.set(token.id, token);
  }
  const limit = config?.model_max_length ?? Infinity;
  return {
    roles: {
      bos_token: contentOf(named.bos_token),
      eos_token: contentOf(named.eos_token),
      unk_token: contentOf(named.unk_token),
      pad_token: contentOf(named.pad_token),
    },
    added: mergeTokens(declared, named),
    modelMaxLength: limit > MAX_LENGTH ? Infinity : Math.floor(limit),
    tokenizerClass: config?.tokenizer_class ?? undefined,
  };
}

function read<Output>(
  schema: v.GenericSchema<unknown, Output>,
  file: TextFile | undefined,
): Output | undefined {
  return file && validate(schema, parseConfigJson(file.text, file.file), file);
}

/** added_tokens.json: content to id. */
function readAddedTokens(file: TextFile | undefined): [string, number][] {
  if (file === undefined) return [];
  const value = validate(
    v.looseObject({}, 'expected a map from token to id'),
    parseConfigJson(file.text, file.file),
    file,
  );
  return Object.entries(value).map(([content, id]) => {
    if (!v.is(tokenId, id)) throw inconsistent(file, content, `${JSON.stringify(id)} is not a token id`);
    return [content, id];
  });
}

function contentOf(token: NamedToken): string | undefined {
  return typeof token === 'string' ? token : token?.content;
}

/**
 * Declared tokens by id, then the named ones. A named token that is declared keeps its declaration; one given as a
 * plain string is matched in the text as typed, and replaces an object with the same content that another name gave.
 */
function mergeTokens(
  declared: ReadonlyMap<number, AddedTokenJson>,
  named: Readonly<Record<TokenRole, NamedToken>>,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  for (const [id, token] of [...declared].sort(([a], [b]) => a - b))
    tokens.set(token.content, flags(token, id));
  const declaredContents = new Set(tokens.keys());
  const seen = new Set<string>();
  for (const role of TOKEN_ROLES) {
    const token = named[role];
    if (token === undefined || token === null) continue;
    const object =
      typeof token === 'string'
        ? { content: token, lstrip: false, rstrip: false, single_word: false as const }
        : token;
    const key = `${typeof token} ${object.content}`;
    if (declaredContents.has(object.content) || seen.has(key)) continue;
    seen.add(key);
    tokens.set(object.content, flags({ ...object, special: true }, undefined));
  }
  return [...tokens.values()];
}

/** transformers' own default: special tokens are matched as typed, others in the normalised text. */
function flags(token: AddedTokenJson, id: number | undefined): AddedToken {
  const { content, lstrip, rstrip, special = false, normalized = !special } = token;
  return { content, id, normalized, lstrip, rstrip, special };
}
