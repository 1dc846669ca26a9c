/** @file The settings that a model recommends in its `calotype.json`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from 'calotype';
import * as v from 'valibot';

const SettingsSchema = v.strictObject({
  numInferenceSteps: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  guidanceScale: v.optional(v.pipe(v.number(), v.finite())),
  guidanceRescale: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  height: v.optional(v.pipe(v.number(), v.multipleOf(8), v.minValue(8))),
  width: v.optional(v.pipe(v.number(), v.multipleOf(8), v.minValue(8))),
});

/** Call options that a model recommends; used for options that were not given. */
export type RecommendedSettings = v.InferOutput<typeof SettingsSchema>;

/**
 * Reads `calotype.json` of a model folder.
 *
 * @returns what it recommends, or nothing when there is no such file.
 * @throws ConfigError when the file is not JSON or has unknown or wrong fields.
 */
export async function recommendedSettings(model: string): Promise<RecommendedSettings> {
  const file = join(model, 'calotype.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    // Models from elsewhere have none.
    return {};
  }
  const remedy = `Its fields are ${Object.keys(SettingsSchema.entries).join(', ')}; correct it or remove the file.`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError('is not JSON', { file, remedy, cause });
  }
  const result = v.safeParse(SettingsSchema, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new ConfigError(issue.message, { file, field: v.getDotPath(issue) ?? 'top level', remedy });
}
