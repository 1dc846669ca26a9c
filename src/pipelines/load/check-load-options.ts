/** @file Checks on what `fromPretrained` and `fromSingleFile` are given, before anything is opened. */

import { checkOptionNames } from '../../option-names.ts';
import { checkFunction, checkSignal, refuse } from '../options/checks.ts';
import type { FromPretrainedOptions } from './from-pretrained.ts';
import type { ComponentDType } from './load-network.ts';
import { VAE_UPCASTS } from './loaded-pipeline.ts';

const DTYPES = ['auto', 'f16', 'bf16', 'f32'] as const satisfies readonly ComponentDType[];
/** The components that may have a type of their own. */
const TYPED = ['unet', 'vae', 'textEncoder'] as const;

/** @throws OptionError for an option that the function does not have, or of another kind than it says */
export function checkLoadOptions(
  caller: string,
  options: Pick<
    FromPretrainedOptions,
    'dtype' | 'vaeUpcast' | 'backends' | 'signal' | 'onProgress' | 'revision' | 'variant'
  >,
  known: readonly string[],
): void {
  checkOptionNames(caller, options, known);
  const { dtype, vaeUpcast, backends, signal, onProgress } = options;
  for (const field of ['revision', 'variant'] as const)
    if (options[field] !== undefined && typeof options[field] !== 'string')
      refuse(field, 'it is no text', 'Give a name as it is in the repository');
  checkDType(dtype);
  checkWord('vaeUpcast', vaeUpcast, VAE_UPCASTS);
  checkBackends(backends);
  checkSignal(signal);
  checkFunction('onProgress', onProgress);
}

function checkDType(dtype: unknown): void {
  if (typeof dtype === 'object' && dtype !== null) {
    checkOptionNames('dtype', dtype, TYPED);
    for (const name of TYPED) checkWord(`dtype.${name}`, Reflect.get(dtype, name), DTYPES);
  } else checkWord('dtype', dtype, DTYPES);
}

function checkWord(field: string, word: unknown, known: readonly string[]): void {
  if (word !== undefined && !known.some((each) => each === word))
    refuse(field, `there is no ${JSON.stringify(word)}`, `Use one of ${known.join(', ')}`);
}

function checkBackends(backends: unknown): void {
  if (backends === undefined) return;
  const isFactory = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && 'open' in value;
  if (!Array.isArray(backends) || !backends.every(isFactory))
    refuse('backends', 'it is no list of backends', 'Give a list such as [webgpu(), cpu()]');
}

/**
 * @param forms what the function takes
 * @throws OptionError unless it is a text with something in it, or has one of these methods
 */
export function checkSource(source: unknown, methods: readonly string[], forms: string): void {
  const fits =
    typeof source === 'string'
      ? source.trim() !== ''
      : typeof source === 'object' && source !== null && methods.some((method) => method in source);
  if (!fits)
    refuse(
      'source',
      `${source === '' ? 'an empty text' : `a value of the type ${typeof source}`} names nothing`,
      forms,
    );
}
