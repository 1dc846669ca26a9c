/**
 * @file Validation of JSON configurations: valibot schemas in, ConfigErrors that name file and field out.
 */
import * as v from 'valibot';
import { ConfigError } from '../errors.ts';

/** Where a configuration comes from, and where remarks about it go. */
export interface ConfigContext {
  /** Path or URL of the file, for messages. */
  readonly file: string;
  /** Told about what was ignored; nothing is told by default. */
  readonly onNotice?: (notice: string) => void;
  /** What to do about a field that is wrong; by default what there is to do about a model's file. */
  readonly remedy?: string;
}

const CORRECT = 'Correct this field, or use the file as it was published with the model';
const UNSUPPORTED = 'Use a model that needs only what is supported, or correct the field if it was changed';

/** Checks an object against `schema`. Throws ConfigError for the first field that does not fit. */
export function validate<Output>(
  schema: v.GenericSchema<unknown, Output>,
  value: unknown,
  context: ConfigContext,
): Output {
  // valibot takes an array for an object, and with all fields optional it would pass.
  const { file, remedy = CORRECT } = context;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError('expected a JSON object', { file, remedy });
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  throw new ConfigError(describeIssue(issue), {
    file,
    ...(field === null ? {} : { field }),
    remedy: issue.type === 'custom' ? UNSUPPORTED : remedy,
  });
}

/** What is wrong with a value: valibot's own words are for those who write schemas. */
export function describeIssue({ message, expected, received }: v.BaseIssue<unknown>): string {
  if (expected === null || !message.startsWith('Invalid ')) return message;
  if (received === 'undefined') return 'is missing';
  if (expected === 'never') return 'there is no such field';
  return `Expected ${expected}, but it is ${received}`;
}

/** ConfigError for fields that are valid alone but not together. */
export function inconsistent(context: ConfigContext, field: string, problem: string): ConfigError {
  return new ConfigError(problem, { file: context.file, field, remedy: CORRECT });
}

/** A value of which only some are implemented; the message lists them. */
export function oneOf<const Value extends string | number | boolean | null>(...values: readonly Value[]) {
  const names = values.map((value) => JSON.stringify(value)).join(', ');
  return v.custom<Value>(
    (input) => values.some((value) => value === input),
    (issue) => `the value ${JSON.stringify(issue.input)} is not supported; supported: ${names}`,
  );
}

/** `oneOf`, and a missing field takes the first value, which must be the default of the original class. */
export function supported<const Value extends string | number | boolean | null>(
  byDefault: Value,
  ...others: readonly Value[]
) {
  return v.optional(oneOf(byDefault, ...others), () => byDefault);
}

/** A flag; null counts as false, as None does in Python. */
export function flag(byDefault: boolean) {
  return v.optional(
    v.pipe(
      v.nullable(v.boolean()),
      v.transform((value) => value ?? false),
    ),
    byDefault,
  );
}

/** A whole number of at least `least`. */
export function whole(least = 1) {
  return v.pipe(v.number(), v.safeInteger(), v.minValue(least));
}

/** A list with at least one entry. */
export function list<Item extends v.GenericSchema>(item: Item) {
  return v.pipe(v.array(item), v.minLength(1, 'the list is empty'));
}

/** One number for every level, or a list with one for each. */
export function perLevel(item: v.GenericSchema<unknown, number> = whole()) {
  return v.union([item, list(item)], 'expected a whole number of at least 1, or a list of them');
}

/** A size in pixels: one number for a square, or [height, width]. */
export const sizeSchema = v.pipe(
  v.union([whole(), v.strictTuple([whole(), whole()])], 'expected a whole number or [height, width]'),
  v.transform((size): readonly [number, number] => (typeof size === 'number' ? [size, size] : size)),
);

/** `value` once for each of `count` levels, unless it is a list already. Throws ConfigError for a wrong count. */
export function broadcast(
  value: number | readonly number[],
  count: number,
  field: string,
  context: ConfigContext,
): readonly number[] {
  if (typeof value === 'number') return Array.from({ length: count }, () => value);
  checkLength(value, count, field, context);
  return value;
}

/** Throws ConfigError unless the list has one entry for each level. */
export function checkLength(
  value: readonly unknown[],
  count: number,
  field: string,
  context: ConfigContext,
): void {
  if (value.length !== count)
    throw inconsistent(
      context,
      field,
      `has ${value.length} entries, but block_out_channels has ${count} levels`,
    );
}

/** Throws ConfigError unless every channel count can be split into `groups` equal groups. */
export function checkGroups(channels: readonly number[], groups: number, context: ConfigContext): void {
  const odd = channels.find((count) => count % groups !== 0);
  if (odd !== undefined)
    throw inconsistent(context, 'norm_num_groups', `${odd} channels cannot be split into ${groups} groups`);
}

/** Tells about fields that the class does not have; diffusers ignores them with a warning too. */
export function noteUnknownFields(
  value: unknown,
  schema: { readonly entries: Readonly<Record<string, unknown>> },
  context: ConfigContext,
): void {
  if (context.onNotice === undefined || typeof value !== 'object' || value === null) return;
  const unknown = Object.keys(value).filter(
    (key) => !key.startsWith('_') && !Object.hasOwn(schema.entries, key),
  );
  if (unknown.length > 0) context.onNotice(`${context.file}: ignored unknown fields: ${unknown.join(', ')}`);
}
