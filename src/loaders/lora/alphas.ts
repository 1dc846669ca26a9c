/**
 * @file How strong an adapter's layers are by themselves: alpha / rank, with the alphas that diffusers 0.42.1 would use
 * (utils/peft_utils.py, `get_peft_kwargs`; PEFT's LoraConfig for files with metadata).
 */
import * as v from 'valibot';
import { FileFormatError } from '../../errors.ts';
import { parseJson } from '../json.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import type { LoraComponent } from './layer-parts.ts';

/** PEFT's adapter_config.json, which lies beside files of its own. */
export interface AdapterConfigFile {
  readonly json: unknown;
  readonly file: string;
}

/** A layer with factors of a rank. */
export interface RankedLayer {
  readonly module: string;
  /** Absent for LoKr of two whole factors. */
  readonly rank: number | undefined;
  /** Its own alpha, if the file has one. */
  readonly alpha: number | undefined;
  readonly alphas: 'kohya' | 'peft';
}

const METADATA = 'lora_adapter_metadata';
/** Patterns are regular expressions that files bring: those that could take forever are left out. */
const pattern = v.pipe(
  v.string(),
  v.regex(/^\^?[\w.\\-]*(\.\*[\w.\\-]*){0,2}\$?$/, 'is not a module path with at most two wildcards'),
);
const finite = v.pipe(v.number(), v.finite());
const ranks = v.pipe(v.number(), v.integer(), v.minValue(1));
/** What of PEFT's LoraConfig decides about scales; its defaults are PEFT's. */
const configSchema = v.looseObject({
  lora_alpha: v.optional(finite, 8),
  alpha_pattern: v.optional(v.record(pattern, finite), {}),
  // For layers whose tensors do not tell their rank.
  r: v.optional(ranks, 8),
  rank_pattern: v.optional(v.record(pattern, ranks), {}),
  use_rslora: v.optional(v.boolean(), false),
  // LoHa's and LoKr's configurations call it this.
  peft_type: v.optional(v.string(), 'LORA'),
  alpha: v.optional(finite),
});
type Config = v.InferOutput<typeof configSchema>;

/** Throws FileFormatError for an adapter_config.json that is none. */
function parseConfigFile({ json, file }: AdapterConfigFile): Config {
  const parsed = v.safeParse(configSchema, json);
  if (!parsed.success) throw damaged(parsed.issues[0], file, v.getDotPath(parsed.issues[0]) ?? '');
  const { peft_type: type, alpha } = parsed.output;
  return type !== 'LORA' && alpha !== undefined ? { ...parsed.output, lora_alpha: alpha } : parsed.output;
}

/**
 * The configuration that a file's metadata holds for a component, else that of the file beside it, if any.
 * @throws FileFormatError for one of which fields have other types
 */
export function readAdapterConfig(
  file: SafetensorsFile,
  component: LoraComponent,
  beside: AdapterConfigFile | undefined,
): Config | undefined {
  const text = file.metadata.get(METADATA);
  if (text === undefined) return beside && parseConfigFile(beside);
  const json = parseJson(text, file.name);
  const own = Object.entries(json ?? {}).filter(([key]) => key.startsWith(`${component}.`));
  if (own.length === 0) return undefined;
  const parsed = v.safeParse(
    configSchema,
    Object.fromEntries(own.map(([key, value]) => [key.slice(component.length + 1), value as unknown])),
  );
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw damaged(issue, file.name, `metadata ${METADATA}: ${component}.${v.getDotPath(issue) ?? ''}`);
}

function damaged(issue: v.BaseIssue<unknown>, file: string, field: string): FileFormatError {
  return new FileFormatError(issue.message, {
    file,
    field,
    remedy: 'The file is damaged or was written by a faulty program; get it again',
  });
}

/** The scales of one component's layers, and what there is to say about them. */
export interface Scales {
  readonly byModule: ReadonlyMap<string, number>;
  readonly notice: string | undefined;
}

/**
 * The scales of one component's layers.
 *
 * kohya's files hold an alpha for each layer. diffusers takes the commonest for all but the layers outside of attention
 * of a UNet or a second text encoder, where it is the layer's own; a layer without one takes the commonest too. So is done here, unless
 * `ownAlphas` asks for what the trainer meant: each layer's own, else its rank.
 */
export function scalesOf(
  layers: readonly RankedLayer[],
  component: LoraComponent,
  config: Config | undefined,
  ownAlphas: boolean,
): Scales {
  if (config)
    return {
      byModule: new Map(layers.map((layer) => [layer.module, configuredScale(layer, config)])),
      notice: undefined,
    };
  const commonest = commonestOf(
    layers.flatMap(({ alpha, alphas }) => (alphas === 'kohya' && alpha !== undefined ? [alpha] : [])),
  );
  const byModule = new Map<string, number>();
  let replaced = 0;
  for (const { module, rank: ownRank, alpha, alphas } of layers) {
    // An alpha means nothing to trainers where there is no rank.
    const rank = ownRank ?? 1;
    const own = ownRank === undefined ? 1 : (alpha ?? rank);
    const follows =
      commonest !== undefined &&
      alphas === 'kohya' &&
      !ownAlphas &&
      !(alpha !== undefined && keepsAlpha(component, module));
    const used = follows ? commonest : own;
    if (used !== own) replaced++;
    byModule.set(module, used / rank);
  }
  const notice =
    replaced > 0
      ? `${replaced} layers of ${component} are scaled by the commonest alpha, ${commonest}, as diffusers does; ` +
        'ownAlphas: true takes those that the file gives them'
      : undefined;
  return { byModule, notice };
}

/** PEFT's scale of a layer under a configuration (tuners/lora/layer.py, lokr/layer.py), which whole factors have too. */
function configuredScale({ module, rank: ownRank }: RankedLayer, config: Config): number {
  const alpha = matching(config.alpha_pattern, module) ?? config.lora_alpha;
  const rank = ownRank ?? matching(config.rank_pattern, module) ?? config.r;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** The number of the first pattern that a module's path ends with, as PEFT's `get_pattern_key`. */
function matching(patterns: Readonly<Record<string, number>>, module: string): number | undefined {
  return Object.entries(patterns).find(([text]) => new RegExp(`^(.*\\.)?(${text})$`).test(module))?.[1];
}

/**
 * Whether diffusers keeps a layer's own alpha: it loses those of attention, and all of `text_encoder`, whose modules
 * transformers 5 calls otherwise than the patterns that the alphas become.
 */
function keepsAlpha(component: LoraComponent, module: string): boolean {
  return component !== 'text_encoder' && !/\.(to_(q|k|v|out\.0)|[qkv]_proj|out_proj)$/.test(module);
}

/** The commonest number, the first of those that are equally common. */
function commonestOf(numbers: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return [...counts].find(([, count]) => count === most)?.[0];
}
