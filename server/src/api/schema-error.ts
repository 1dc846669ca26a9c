/** @file What a schema that is checked here, not by Fastify, says of a value. */
import { OptionError } from 'calotype';
import type { TLocalizedValidationError } from 'typebox/error';

/**
 * The first thing that is wrong.
 * @param whole what the value is, for a field that it does not have
 * @param within the field of the request that has it
 */
export function schemaError(
  errors: readonly TLocalizedValidationError[],
  whole: string,
  within?: string,
): OptionError {
  const place = (name: string): string => (within === undefined ? name : `${within}.${name}`);
  const remedy = 'See /openapi.json';
  for (const error of errors) {
    if (error.keyword === 'additionalProperties')
      return new OptionError(`is no field of ${whole}`, {
        field: place(error.params.additionalProperties[0]),
        remedy,
      });
    if (error.keyword === 'required')
      return new OptionError(error.message, { field: place(error.params.requiredProperties[0]), remedy });
  }
  const [{ instancePath, message }] = errors;
  return new OptionError(message, { field: place(instancePath.slice(1)), remedy });
}
