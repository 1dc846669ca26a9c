/** @file Checks on what is to be drawn, in words or as embeddings. */

import { PROMPT_SYNTAXES, type PromptSyntax } from '../../text/prompt-tokens.ts';
import { checkTaken, type FamilyMember } from '../families/families.ts';
import type { TextOptions } from './call-options.ts';
import { checkFlag, checkSignal, checkTensor, checkTexts, inRange, refuse } from './checks.ts';

const EMBEDDINGS = [
  'promptEmbeds',
  'negativePromptEmbeds',
  'pooledPromptEmbeds',
  'negativePooledPromptEmbeds',
] as const satisfies readonly (keyof TextOptions)[];
const MASKS = [
  'promptAttentionMask',
  'negativePromptAttentionMask',
] as const satisfies readonly (keyof TextOptions)[];
const TEXTS = [
  'prompt',
  'prompt2',
  'negativePrompt',
  'negativePrompt2',
] as const satisfies readonly (keyof TextOptions)[];
/** Options about text, for `checkTaken` to choose from. */
export const TEXT_OPTIONS = [
  ...TEXTS,
  'promptSyntax',
  'clipSkip',
  ...EMBEDDINGS,
  ...MASKS,
  'maxSequenceLength',
  'cleanCaption',
] as const;

/** @throws OptionError */
export function checkTextOptions(options: TextOptions): void {
  for (const field of TEXTS) checkTexts(field, options[field]);
  for (const field of [...EMBEDDINGS, ...MASKS]) checkTensor(field, options[field]);
  inRange('maxSequenceLength', options.maxSequenceLength, 1, 4096, true);
  checkFlag('cleanCaption', options.cleanCaption);
  if (options.cleanCaption === true)
    refuse('cleanCaption', 'captions cannot be cleaned as BeautifulSoup and ftfy do', 'Leave it out');
  inRange('clipSkip', options.clipSkip, 0, 1024, true);
  const { promptSyntax = 'plain', prompt, promptEmbeds } = options;
  checkSyntax(promptSyntax);
  if ((prompt === undefined) === (promptEmbeds === undefined))
    refuse(
      'prompt',
      'exactly one of prompt and promptEmbeds is needed',
      'Give a prompt (an empty one is fine) or its embeddings',
    );
  const given = (field: keyof TextOptions): boolean => options[field] !== undefined;
  if (given('prompt2') && given('promptEmbeds'))
    refuse('prompt2', 'it was given together with promptEmbeds', 'Give one of the two');
  for (const field of ['negativePrompt', 'negativePrompt2'] as const)
    if (given(field) && given('negativePromptEmbeds'))
      refuse(field, 'it was given together with negativePromptEmbeds', 'Give one of the two');
}

/** The number of prompts in a call's options. */
export function promptCount({ prompt, promptEmbeds }: TextOptions): number {
  return promptEmbeds?.shape[0] ?? (typeof prompt === 'string' ? 1 : (prompt?.length ?? 1));
}

/** The number of pictures that a call draws. */
export function imageCount(options: TextOptions & { readonly numImagesPerPrompt: number }): number {
  return promptCount(options) * options.numImagesPerPrompt;
}

/** @throws OptionError */
export function checkSyntax(syntax: PromptSyntax): void {
  if (!PROMPT_SYNTAXES.includes(syntax))
    refuse('promptSyntax', `it is ${JSON.stringify(syntax)}`, "Use 'plain' or 'webui'");
}

/** What `encodePrompt` takes. */
interface EncodeOptions extends TextOptions {
  readonly numImagesPerPrompt?: number;
  readonly doClassifierFreeGuidance?: boolean;
  readonly signal?: AbortSignal;
}

/** @throws OptionError for options of `encodePrompt` that are unknown or out of range. */
export function checkEncodeOptions(options: EncodeOptions, member: FamilyMember): void {
  checkTaken(member, options, TEXT_OPTIONS, ['numImagesPerPrompt', 'doClassifierFreeGuidance', 'signal']);
  checkTextOptions(options);
  inRange('numImagesPerPrompt', options.numImagesPerPrompt, 1, 1024, true);
  checkFlag('doClassifierFreeGuidance', options.doClassifierFreeGuidance);
  checkSignal(options.signal);
}
