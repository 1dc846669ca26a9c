/** @file Which of several NVIDIA cards: what --device and cuda:... take. */
import { readInteger } from './options.ts';

/** A UUID of a card or of an instance of one (MIG), or the beginning of one. */
const UUID = /^(?:GPU|MIG)-[\da-f][\da-f-]*$/i;

/** Whether a text names a card. */
export function isCard(text: string): boolean {
  return UUID.test(text) || /^\d+$/.test(text);
}

/** The number of a card, or its UUID. Throws OptionError naming the option. */
export function readCard(option: string, text: string): number | string {
  return UUID.test(text) ? text : readInteger(option, text, { min: 0, max: 255 });
}
