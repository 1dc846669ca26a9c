/**
 * @file scheduler_config.json: its class and its fields as they stand. Each scheduler reads its own fields.
 */
import * as v from 'valibot';
import { type ConfigContext, validate } from '../config.ts';

/** A scheduler's file. */
export interface SchedulerFile {
  /** diffusers' class name. */
  readonly className: string;
  /** All fields, `_class_name` included; numbers may be infinite. */
  readonly config: Readonly<Record<string, unknown>>;
}

const schema = v.looseObject({ _class_name: v.string() });

/** Reads a scheduler_config.json. Throws ConfigError unless it is an object with a class name. */
export function parseSchedulerFile(json: unknown, context: ConfigContext): SchedulerFile {
  const config = validate(schema, json, context);
  return { className: config._class_name, config };
}
