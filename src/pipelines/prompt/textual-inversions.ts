/** @file Textual inversions: learned words, added to the text encoders of a loaded pipeline and removed. */

import { FileFormatError, OptionError } from '../../errors.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import { readTextualInversion, type LearnedVectors } from '../../loaders/textual-inversion.ts';
import { checkOptionNames } from '../../option-names.ts';
import { vectorName } from '../../text/inverted-tokens.ts';
import type { LoadTextualInversionOptions } from '../diffusion-pipeline.ts';
import { type AddedFileSource, openAddedFile } from '../load/added-file.ts';
import type { Platform } from '../load/from-pretrained.ts';
import type { LearnedToken } from './added-vectors.ts';
import { EMBEDDING_FILE } from './embedding-file.ts';
import type { PromptEncoder } from './text-encoder.ts';

/** What loading and unloading know of their pipeline. */
export interface InversionHost {
  readonly platform: Platform;
  readonly encoders: readonly PromptEncoder[];
  onNotice(notice: string): void;
  /** Runs work when the calls before it are done. */
  enqueue<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T>;
}

const OPTIONS = [
  'token',
  'textEncoder',
  'weightName',
  'subfolder',
  'revision',
  'signal',
] as const satisfies readonly (keyof LoadTextualInversionOptions)[];

/** `pipe.loadTextualInversion`. */
export async function loadInversion(
  { platform, encoders, onNotice, enqueue }: InversionHost,
  source: AddedFileSource,
  options: LoadTextualInversionOptions = {},
): Promise<string[]> {
  checkOptionNames('loadTextualInversion', options, OPTIONS);
  const file = await openAddedFile(platform, EMBEDDING_FILE, source, options, onNotice);
  try {
    return await enqueue(() => learnTokens(encoders, file, options), options.signal);
  } finally {
    await file.close();
  }
}

/** `pipe.unloadTextualInversion`. */
export function unloadInversion(
  { encoders, enqueue }: InversionHost,
  tokens?: string | readonly string[],
): Promise<void> {
  return enqueue(() => forgetTokens(encoders, tokens === undefined ? undefined : [tokens].flat()));
}

/** How words are added. */
export interface LearnOptions {
  /** The word, or for a file of several vectors one for each. Default: the one in the file. */
  readonly token?: string | readonly string[] | undefined;
  /** Which encoder a file of one tensor is for: `text_encoder` (default) or `text_encoder_2`. */
  readonly textEncoder?: TextEncoderName | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Folders of text encoders. */
const TEXT_ENCODERS = ['text_encoder', 'text_encoder_2'] as const;
export type TextEncoderName = (typeof TEXT_ENCODERS)[number];

/** Words for one encoder. */
interface Lesson {
  readonly encoder: PromptEncoder;
  readonly vectors: LearnedVectors;
}

/**
 * Adds the words of a file to the encoders. Everything is checked before anything changes.
 * @returns the words
 * @throws FileFormatError for files of another form and vectors of another width; OptionError for a word that is missing,
 * or known already
 */
async function learnTokens(
  encoders: readonly PromptEncoder[],
  file: WeightSource,
  { token, textEncoder = 'text_encoder', signal }: LearnOptions,
): Promise<string[]> {
  const { token: stored, encoders: learned } = await readTextualInversion(file, signal);
  const [first, second] = encoders;
  const lessons: Lesson[] = [];
  if (learned.kind === 'one') {
    const encoder = encoders[TEXT_ENCODERS.indexOf(textEncoder)];
    if (encoder === undefined)
      throw new OptionError(`the model has no ${textEncoder}`, {
        field: 'textEncoder',
        remedy: 'Leave it out',
      });
    lessons.push({ encoder, vectors: learned.vectors });
  } else {
    if (second === undefined)
      throw new FileFormatError('it is for the two text encoders of SDXL, and the model has one', {
        file: file.name,
        remedy: 'Use it with an SDXL model',
      });
    lessons.push({ encoder: first, vectors: learned.first }, { encoder: second, vectors: learned.second });
  }
  for (const { encoder, vectors } of lessons) {
    const { hiddenSize } = encoder.config;
    if (vectors.channels !== hiddenSize)
      throw new FileFormatError(
        `has vectors of ${vectors.channels} numbers, the text encoder of ${hiddenSize}`,
        {
          file: file.name,
          field: vectors.name,
          remedy: 'Use a textual inversion that was made for this kind of model',
        },
      );
  }
  const names = typeof token === 'string' ? [token] : (token ?? (stored === undefined ? [] : [stored]));
  const plans = lessons.map(({ encoder, vectors }) => ({
    encoder,
    tokens: nameVectors(file, names, vectors),
  }));
  for (const { encoder, tokens } of plans) for (const one of tokens) checkFree(encoder, one);
  for (const { encoder, tokens } of plans) encoder.learn([...encoder.learned, ...tokens]);
  return [...names];
}

/** One name for all vectors, or one for each. */
function nameVectors(
  file: WeightSource,
  names: readonly string[],
  { vectors }: LearnedVectors,
): LearnedToken[] {
  const [name, ...others] = names;
  const refuse = (problem: string, remedy: string): never => {
    throw new OptionError(problem, { file: file.name, field: 'token', remedy });
  };
  if (name === undefined || names.some((one) => one.trim() === ''))
    return refuse(
      'the file does not say which word it is',
      "Name it: token: '<cat>' (--embedding FILE:<cat>)",
    );
  if (others.length === 0) return [{ token: name, vectors }];
  if (names.length !== vectors.length)
    return refuse(
      `there are ${names.length} words for ${vectors.length} vectors`,
      'Give one, or one for each',
    );
  if (new Set(names).size < names.length)
    return refuse('a word is named twice', 'Name each vector differently');
  return names.map((one, i) => ({ token: one, vectors: [vectors[i]] }));
}

/** diffusers refuses words that the tokenizer knows, and those whose second vector's name it knows. */
function checkFree({ tokenizer }: PromptEncoder, { token, vectors }: LearnedToken): void {
  const used = [...vectors.map((_, i) => vectorName(token, i)), vectorName(token, 1)].find((name) =>
    tokenizer.has(name),
  );
  if (used !== undefined)
    throw new OptionError(`the tokenizer knows "${used}" already`, {
      field: 'token',
      remedy: 'Choose another word, such as <my-cat>, or unload the textual inversion that has it',
    });
}

/**
 * Removes words from all encoders, all of them if none is named.
 * @throws OptionError for a word that was not added
 */
function forgetTokens(encoders: readonly PromptEncoder[], tokens: readonly string[] | undefined): void {
  const known = encoders.flatMap(({ learned }) => learned.map(({ token }) => token));
  const strange = tokens?.find((token) => !known.includes(token));
  if (strange !== undefined)
    throw new OptionError(`there is no textual inversion of "${strange}"`, {
      field: 'tokens',
      remedy: known.length > 0 ? `There are ${[...new Set(known)].join(', ')}` : 'None was loaded',
    });
  for (const encoder of encoders) {
    const rest = tokens ? encoder.learned.filter(({ token }) => !tokens.includes(token)) : [];
    if (rest.length < encoder.learned.length) encoder.learn(rest);
  }
}
