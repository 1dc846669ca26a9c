/** @file Values at which a field that has no counterpart here asks for nothing. */
import { OptionError } from 'calotype';

/** Whether a value asks for nothing. */
export type IsNeutral = (value: unknown) => boolean;

export const isOff: IsNeutral = (value) =>
  value === null ||
  value === false ||
  value === '' ||
  value === 0 ||
  (Array.isArray(value) && value.length === 0);
export const is =
  (...values: readonly unknown[]): IsNeutral =>
  (value) =>
    value === null || values.includes(value);

/**
 * Throws OptionError for a field that asks for something.
 * @param within the field that has these fields, for messages
 */
export function refuseUnlessNeutral(
  fields: Readonly<Record<string, unknown>>,
  neutral: Readonly<Record<string, IsNeutral>>,
  within?: string,
): void {
  for (const [name, isNeutral] of Object.entries(neutral))
    if (fields[name] !== undefined && !isNeutral(fields[name]))
      throw new OptionError('is not supported by this server', {
        field: within === undefined ? name : `${within}.${name}`,
        remedy: 'Leave it out',
      });
}
