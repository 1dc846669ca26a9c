/** @file calotype.json: settings that a model's folder recommends, for the command and the page. */

import * as v from 'valibot';
import { validate, whole, type ConfigContext } from '../../loaders/config.ts';
import type { CallOptions } from '../options/call-options.ts';

const schema = v.strictObject({
  numInferenceSteps: v.optional(whole()),
  guidanceScale: v.optional(v.pipe(v.number(), v.finite())),
  guidanceRescale: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  height: v.optional(whole(8)),
  width: v.optional(whole(8)),
  negativePrompt: v.optional(v.string()),
});

/** Options of a call that a model may recommend. */
export type RecommendedSettings = Pick<
  CallOptions,
  'numInferenceSteps' | 'guidanceScale' | 'guidanceRescale' | 'height' | 'width'
> & { readonly negativePrompt?: string };

/** Reads calotype.json; throws ConfigError for a setting that is unknown or out of range. */
export function parseRecommendedSettings(json: unknown, context: ConfigContext): RecommendedSettings {
  const settings = validate(schema, json, context);
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
