/** @file Gives commands the text of their arguments, as citty parsed them. */
import { OptionError } from 'calotype';

/** Reads arguments by name. */
export interface ArgumentReader<Name extends string> {
  /** What was given; undefined if nothing, or no text, was. */
  text(name: Name): string | undefined;
  /** What was given, parsed; `parse` is told the option's name for its errors. */
  read<T>(name: Name, parse: (option: string, value: string) => T): T | undefined;
}

/**
 * A reader of these arguments.
 * @param textOf the text of a value, undefined if it has none
 */
export function argumentReader<Name extends string>(
  args: Readonly<Partial<Record<Name, unknown>>>,
  textOf: (value: unknown) => string | undefined = stringOf,
): ArgumentReader<Name> {
  const text = (name: Name): string | undefined => textOf(args[name]);
  return {
    text,
    read(name, parse) {
      const value = text(name);
      return value === undefined ? undefined : parse(`--${name}`, value);
    },
  };
}

function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/**
 * Throws OptionError unless an option has a file for each of what another names.
 * @param each what they are for, in the message
 */
export function checkOneForEach(
  option: string,
  files: readonly string[],
  each: string,
  named: readonly unknown[],
): void {
  if (files.length === named.length) return;
  throw new OptionError(`takes one for each ${each}: ${named.length}, not ${files.length}`, {
    field: option,
    remedy: 'Give as many, in the same order, with commas between them.',
  });
}

/** What stands between commas. */
export function listOf(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').filter((entry) => entry !== '');
}
