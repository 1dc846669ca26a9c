/** @file Functions with options know all of them: what they do not know is refused. */

import { OptionError } from './errors.ts';
import { nearestNames } from './nearest-names.ts';

/** Throws OptionError, naming the function, unless what was given as its options is an object. */
export function checkIsOptions(caller: string, options: unknown): asserts options is object {
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return;
  throw new OptionError(
    `${options === null ? 'null' : `a value of the type ${typeof options}`} is no options`,
    {
      field: caller,
      remedy: 'Give an object, such as { name: value }',
    },
  );
}

/** Throws OptionError, with the nearest name, for an option that a function does not have. */
export function checkOptionNames(caller: string, options: unknown, known: readonly string[]): void {
  checkIsOptions(caller, options);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const [nearest] = nearestNames(name, known, 1, Math.max(2, Math.floor(name.length / 3)));
    throw new OptionError(`${caller} has no such option`, {
      field: name,
      remedy: nearest === undefined ? `Its options are ${known.join(', ')}` : `Did you mean ${nearest}?`,
    });
  }
}
