/** @file Functions with options know all of them: what they do not know is refused. */

import { OptionError } from '../../errors.ts';
import { nearestNames } from '../../nearest-names.ts';

/** Throws OptionError, with the nearest name, for an option that a function does not have. */
export function checkOptionNames(caller: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw new OptionError(`${caller} has no such option`, {
        field: name,
        remedy: `Did you mean ${nearestNames(name, known, 1)[0]}? Its options are ${known.join(', ')}`,
      });
}
