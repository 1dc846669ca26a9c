/** @file Options that take one thing or several of it. */

/** A list as it is, anything else as a list of one. */
export function asList<T>(value: T | readonly T[]): readonly T[] {
  return isList(value) ? value : [value];
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
