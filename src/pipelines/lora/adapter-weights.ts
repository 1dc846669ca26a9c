/**
 * @file How strongly an adapter acts where: a number for all of it, or diffusers' dictionaries by component and by block
 * (loaders/lora_base.py `set_adapters`, loaders/unet_loader_utils.py).
 */
import { OptionError } from '../../errors.ts';
import { LORA_COMPONENTS, type LoraComponent, type Modules } from '../../loaders/lora/layer-parts.ts';

/** Weights of a block's transformers: one for all, or one for each. */
type BlockWeight = number | readonly number[];

/** Weights of one side of a UNet: one for all blocks, or one for each that has attention. */
type SideWeight = BlockWeight | Readonly<Record<`block${number}` | `block_${number}`, BlockWeight>>;

/** A UNet's weights: one for all, or by blocks. */
export type UNetAdapterWeights =
  number | { readonly down?: SideWeight; readonly mid?: BlockWeight; readonly up?: SideWeight };

/**
 * An adapter's weight: a number, or weights by component and block:
 * `{ unet: { down: { block1: [0.5, 1] }, mid: 0.8, up: 1.2 }, textEncoder: 0.5 }`. What is not named has 1. Keys may be
 * spelled as in diffusers' dictionaries too: `block_1`, `text_encoder`.
 */
export type AdapterWeight =
  | number
  | {
      readonly unet?: UNetAdapterWeights;
      readonly textEncoder?: number;
      readonly textEncoder2?: number;
      readonly text_encoder?: number;
      readonly text_encoder_2?: number;
    };

/** The weight of an adapter in one component, by module. */
export type ModuleWeights = (module: string) => number;

/** Weights by component, checked. */
export type ComponentWeights = ReadonlyMap<LoraComponent, ModuleWeights>;

function refuse(field: string, problem: string, remedy: string): never {
  throw new OptionError(problem, { field: `weights.${field}`, remedy });
}

/**
 * Reads an adapter's weight.
 * @param modules those of the pipeline's components; what is not there has no weights
 * @throws OptionError naming the component or block that there is not
 */
export function readAdapterWeight(
  weight: unknown,
  modules: ReadonlyMap<LoraComponent, Modules>,
): ComponentWeights {
  if (weight === undefined || weight === null || typeof weight === 'number') {
    const all = number('', weight ?? 1);
    return new Map(LORA_COMPONENTS.map((component) => [component, () => all]));
  }
  const given = record(
    '',
    weight,
    LORA_COMPONENTS.filter((component) => modules.has(component)),
  );
  return new Map(
    LORA_COMPONENTS.map((component) => {
      const value = given[component] ?? 1;
      if (component === 'unet' && typeof value === 'object')
        return [component, unetWeights(value, modules.get('unet') ?? new Map())];
      const all = number(component, value);
      return [component, () => all];
    }),
  );
}

function number(field: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return refuse(field, `${JSON.stringify(value)} is not a number`, 'Give a finite number, such as 0.8');
}

/** A key as diffusers spells it. */
function pythonic(key: string): string {
  return key.replace(/(?<=[a-z])[A-Z0-9]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** An object with none but these keys, under their names in diffusers. */
function record(field: string, value: unknown, keys: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(field, `${JSON.stringify(value)} is neither a number nor an object`, 'Give one of them');
  const entries = Object.entries(value).map(([key, entry]) => [pythonic(key), entry as unknown] as const);
  for (const [key] of entries)
    if (!keys.includes(key))
      refuse(
        field === '' ? key : `${field}.${key}`,
        'there is nothing of this name to weight',
        `Use ${keys.join(', ')}`,
      );
  return Object.fromEntries(entries);
}

/** Weights of a UNet's blocks, by the paths of their attentions, as `_maybe_expand_lora_scales` makes them. */
function unetWeights(value: unknown, modules: Modules): ModuleWeights {
  const given = record('unet', value, ['down', 'mid', 'up']);
  const attentions = new Set(
    [...modules.keys()].flatMap((path) => /^(.+_blocks?(?:\.\d+)?\.attentions\.\d+)\./.exec(path)?.[1] ?? []),
  );
  const weights = new Map<string, number>();
  const mid = 'mid_block.attentions.0';
  if (attentions.has(mid)) weights.set(mid, list('unet.mid', given['mid'] ?? 1, 1)[0]);
  else if (given['mid'] !== undefined)
    refuse('unet.mid', 'this UNet has no attention in the middle', 'Leave it out');
  for (const side of ['down', 'up'] as const) {
    const field = `unet.${side}`;
    const sizes = blockSizes(attentions, `${side}_blocks`);
    const blocks = [...sizes.keys()].map((block) => `block_${block}`);
    const own = given[side] ?? 1;
    const byBlock =
      typeof own === 'object' && !Array.isArray(own)
        ? record(field, own, blocks)
        : Object.fromEntries(blocks.map((block) => [block, own]));
    for (const [block, size] of sizes)
      list(`${field}.block_${block}`, byBlock[`block_${block}`] ?? 1, size).forEach((weight, i) =>
        weights.set(`${side}_blocks.${block}.attentions.${i}`, weight),
      );
  }
  return (module) => moduleWeight(module, weights);
}

/** Number of attentions in each block that has some. */
function blockSizes(attentions: ReadonlySet<string>, parent: string): Map<number, number> {
  const sizes = new Map<number, number>();
  for (const path of attentions) {
    const block = new RegExp(`^${parent}\\.(\\d+)\\.`).exec(path)?.[1];
    if (block !== undefined) sizes.set(Number(block), (sizes.get(Number(block)) ?? 0) + 1);
  }
  return sizes;
}

/** One weight for each attention of a block: a number or a single one stand for all. */
function list(field: string, value: unknown, length: number): number[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (values.length !== 1 && values.length !== length)
    refuse(field, `has ${values.length} weights for ${length} attentions`, `Give one, or ${length}`);
  return Array.from({ length }, (_, i) => number(field, values[values.length === 1 ? 0 : i]));
}

/**
 * A module's weight, as peft_utils.py's `get_module_weight` finds it: that of its attention; resnets and resamplers take
 * that of the attention of their own number; everything else has 1.
 */
function moduleWeight(module: string, weights: ReadonlyMap<string, number>): number {
  for (const [path, weight] of weights) if (module.includes(path)) return weight;
  const [side, block, , index] = module.split('.');
  return weights.get(`${side}.${block}.attentions.${index}`) ?? 1;
}
