/** @file Gives commands the text of their arguments, as citty parsed them. */

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

/** What stands between commas. */
export function listOf(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').filter((entry) => entry !== '');
}
