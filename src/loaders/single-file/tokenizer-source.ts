/**
 * @file The tokenizers of a single-file checkpoint. Such files carry none; all Stable Diffusion models share CLIP's
 * vocabulary and differ in the padding token alone, so any CLIP vocabulary serves.
 */
import { CalotypeError, NotFoundError } from '../../errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { joinPath, type ModelSource } from '../model-source.ts';

/** Opens a tokenizer's files by their paths in a model folder (`tokenizer/vocab.json`). */
export type OpenTokenizerFile = (path: string, signal?: AbortSignal) => Promise<ByteSource | undefined>;

/** Folders that may hold the vocabulary. */
const FOLDERS = ['', 'tokenizer', 'tokenizer_2'];
/** Files that hold a vocabulary. */
const VOCABULARIES = ['tokenizer.json', 'vocab.json'];

/**
 * Tokenizer files made from any folder with a CLIP vocabulary, with the special tokens of the checkpoint's kind.
 * @param padToken of each tokenizer by folder
 * @param asFile content as a file
 * @throws NotFoundError, when a file is opened, for a source without a vocabulary
 */
export function vocabularyFrom(
  source: ModelSource,
  padToken: (folder: string) => string,
  asFile: (path: string, content: unknown) => ByteSource,
): OpenTokenizerFile {
  let known: Promise<string> | undefined;
  const find = async (signal: AbortSignal | undefined): Promise<string> => {
    for (const folder of FOLDERS)
      for (const name of VOCABULARIES) if (await source.exists(joinPath(folder, name), signal)) return folder;
    throw new NotFoundError(`there is no CLIP vocabulary (looked for ${VOCABULARIES.join(' and ')})`, {
      file: source.name,
      field: 'tokenizer',
      remedy: 'Name a folder or Hub repository with vocab.json and merges.txt, or tokenizer.json',
    });
  };
  return async (path, signal) => {
    const [folder, name] = path.split('/');
    if (name === 'tokenizer_config.json')
      return asFile(path, {
        tokenizer_class: 'CLIPTokenizer',
        bos_token: '<|startoftext|>',
        eos_token: '<|endoftext|>',
        unk_token: '<|endoftext|>',
        pad_token: padToken(folder),
        model_max_length: 77,
      });
    if (![...VOCABULARIES, 'merges.txt'].includes(name)) return undefined;
    known ??= find(signal);
    return source.open(joinPath(await known, name), signal);
  };
}

/**
 * Tokenizer files of the Hub repository that was published with the checkpoint's kind.
 * @throws NotFoundError, when a file is opened, with the ways to name another vocabulary, where it cannot be had
 */
export function publishedTokenizer(
  repository: string,
  resolve: (repository: string) => Promise<ModelSource>,
): OpenTokenizerFile {
  let source: Promise<ModelSource> | undefined;
  const unavailable = (cause?: unknown): NotFoundError =>
    new NotFoundError(
      `single files hold no tokenizer, and the one of ${repository} cannot be had` +
        (cause instanceof Error ? ` (${cause.message})` : ''),
      {
        file: repository,
        field: 'tokenizer',
        remedy:
          'Name a folder or Hub repository that has a CLIP vocabulary (vocab.json and merges.txt) with the option ' +
          '`tokenizer`, or a diffusers model with `config`',
        cause,
      },
    );
  return async (path, signal) => {
    try {
      source ??= resolve(repository);
      const found = await (await source).open(path, signal);
      // An offline cache without the repository's files answers that they are not there.
      const folder = path.slice(0, path.lastIndexOf('/'));
      if (found === undefined && path.endsWith('/vocab.json')) {
        const other = await (await source).exists(joinPath(folder, 'tokenizer.json'), signal);
        if (!other) throw unavailable();
      }
      return found;
    } catch (cause) {
      if (cause instanceof CalotypeError && cause.field !== 'tokenizer') throw unavailable(cause);
      throw cause;
    }
  };
}
