/**
 * @file Settings of schedulers: from a configuration record and overrides to checked values with their defaults,
 * and back to a record that other schedulers can be made from (diffusers' `ConfigMixin.from_config`).
 */
import * as v from 'valibot';
import { ConfigError, OptionError } from '../errors.ts';
import { describeIssue, flag, list, supported, whole } from '../loaders/config.ts';
import type { BetaSchedule } from './betas.ts';
import type { SchedulerConfig } from './scheduler.ts';
import type { SigmaSpacing } from './sigmas.ts';

/** A finite number above a bound. */
export function above(bound: number) {
  return v.pipe(v.number(), v.finite(), v.gtValue(bound));
}

const beta = v.pipe(above(0), v.ltValue(1));

/** Settings of the training schedule, which all classes have, with the defaults of most of them. */
export const TRAINING_SETTINGS = {
  num_train_timesteps: v.optional(v.pipe(whole(), v.maxValue(1_000_000)), 1000),
  beta_start: v.optional(beta, 0.0001),
  beta_end: v.optional(beta, 0.02),
  beta_schedule: supported<BetaSchedule>('linear', 'scaled_linear', 'squaredcos_cap_v2'),
  trained_betas: v.nullish(list(beta), null),
};

/** `TRAINING_SETTINGS` of classes whose defaults are the betas of Stable Diffusion. */
export const STABLE_DIFFUSION_TRAINING_SETTINGS = {
  ...TRAINING_SETTINGS,
  beta_start: v.optional(beta, 0.00085),
  beta_end: v.optional(beta, 0.012),
};

/** The setting `steps_offset`: how far 'leading' spacing is shifted up. */
export const OFFSET_SETTINGS = { steps_offset: v.optional(whole(0), 0) };

/** The setting `rescale_betas_zero_snr` (Lin et al., 2023). */
export const RESCALE_SETTINGS = { rescale_betas_zero_snr: flag(false) };

/** Ways to space sigmas other than by timesteps. At most one may be on; see `sigmaSpacingOf`. */
export const SIGMA_SPACING_SETTINGS = {
  use_karras_sigmas: flag(false),
  use_exponential_sigmas: flag(false),
  use_beta_sigmas: flag(false),
};

/** Where sigmas end: at 0, or at the smallest one of training. */
export const FINAL_SIGMA_SETTINGS = { final_sigmas_type: supported('zero', 'sigma_min') };

/** Limits of clean latents; dynamic thresholding is for pixels and not supported. */
export const THRESHOLDING_SETTINGS = {
  thresholding: supported(false),
  dynamic_thresholding_ratio: v.optional(v.number(), 0.995),
  sample_max_value: v.optional(v.number(), 1),
};

/** Settings of flow-matching models, which these schedulers have in diffusers but not here. */
export const FLOW_SETTINGS = {
  use_flow_sigmas: supported(false),
  flow_shift: v.optional(v.number(), 1),
  use_dynamic_shifting: supported(false),
  time_shift_type: supported('exponential'),
};

/** What sigmas may be spaced between, in place of the bounds that follow from the timesteps. */
export const SIGMA_BOUND_SETTINGS = {
  sigma_min: v.nullish(above(0), null),
  sigma_max: v.nullish(above(0), null),
};

/** diffusers lists here the settings that a record holds only because they are its own class's defaults. */
const DEFAULTED = '_use_default_values';

type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<CamelCase<Rest>>}`
  : Name;

type Entries = Readonly<Record<string, v.GenericSchema>>;
type Schema<E extends Entries> = v.ObjectSchema<E, undefined>;

/** Settings to change while making a scheduler, under their camelCase names: `{ useKarrasSigmas: true }`. */
export type Overrides<E extends Entries> = {
  readonly [Name in keyof E & string as CamelCase<Name>]?: v.InferInput<E[Name]>;
};

/** Checked settings with their defaults, and whatever else the record held. */
export type Resolved<E extends Entries> = v.InferOutput<Schema<E>> & SchedulerConfig;

/**
 * The settings of a scheduler class. As in diffusers, entries that the class does not know are kept in the result
 * and have no effect, and entries that are in the record only as another class's defaults give way to this one's.
 *
 * @param className goes into the result as `_class_name`.
 * @param file what `config` was read from, for messages.
 * @throws ConfigError for a value of `config` that is wrong or not supported, OptionError for such an override and
 *   for an override that the class does not have.
 */
export function resolveSettings<const E extends Entries>(
  className: string,
  schema: Schema<E>,
  config: SchedulerConfig,
  overrides: Overrides<E>,
  file?: string,
): Resolved<E> {
  checkConfig(className, config);
  const defaulted: unknown = config[DEFAULTED];
  const record = Object.fromEntries(
    Object.entries(config).filter(
      ([name]) => name !== DEFAULTED && !(Array.isArray(defaulted) && defaulted.includes(name)),
    ),
  );
  const optionNames = new Map(Object.keys(schema.entries).map((name) => [camelCase(name), name]));
  const overridden = new Map<string, string>();
  for (const [option, value] of Object.entries(overrides)) {
    const name = optionNames.get(option);
    if (name === undefined)
      throw new OptionError(`${className} has no such option`, {
        field: option,
        remedy: `It has ${[...optionNames.keys()].join(', ')}`,
      });
    record[name] = value;
    overridden.set(name, option);
  }
  const result = v.safeParse(schema, record);
  if (!result.success) throw settingsError(result.issues[0], overridden, file);
  return {
    ...record,
    ...result.output,
    _class_name: className,
    [DEFAULTED]: Object.keys(schema.entries).filter((name) => !Object.hasOwn(record, name)),
  };
}

/** A scheduler in place of its configuration would be read as one without any setting. */
function checkConfig(className: string, config: unknown): void {
  if (typeof config === 'object' && config !== null && !('setTimesteps' in config)) return;
  throw new OptionError('what was given is no configuration of a scheduler', {
    field: `${className}.fromConfig`,
    remedy: `Give that of another, as in ${className}.fromConfig(pipe.scheduler.config), or {} for the defaults`,
  });
}

function settingsError(
  issue: v.BaseIssue<unknown>,
  overridden: ReadonlyMap<string, string>,
  file: string | undefined,
): ConfigError | OptionError {
  const field = v.getDotPath(issue) ?? '';
  const option = overridden.get(field.split('.')[0]);
  if (option !== undefined)
    return new OptionError(describeIssue(issue), { field: option, remedy: 'Correct this option' });
  return new ConfigError(describeIssue(issue), {
    ...(file === undefined ? {} : { file }),
    field,
    remedy: 'Correct this field in the scheduler configuration, or choose another scheduler',
  });
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `SIGMA_SPACING_SETTINGS`, checked. */
export interface SigmaSpacingConfig {
  readonly use_karras_sigmas: boolean;
  readonly use_exponential_sigmas: boolean;
  readonly use_beta_sigmas: boolean;
}

/**
 * Which way of spacing sigmas is on, if any.
 *
 * @throws ConfigError when several are.
 */
export function sigmaSpacingOf(config: SigmaSpacingConfig): SigmaSpacing | undefined {
  const on = (
    [
      ['karras', config.use_karras_sigmas],
      ['exponential', config.use_exponential_sigmas],
      ['beta', config.use_beta_sigmas],
    ] as const
  ).filter(([, used]) => used);
  if (on.length > 1)
    throw new ConfigError(
      'use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas exclude each other',
      {
        field: `use_${on[0][0]}_sigmas`,
        remedy: 'Set only one of them',
      },
    );
  return on[0]?.[0];
}
