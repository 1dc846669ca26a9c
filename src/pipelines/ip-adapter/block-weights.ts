/**
 * @file Weights of the attentions of a UNet, given by blocks as in diffusers' dictionaries
 * (loaders/unet_loader_utils.py, `_maybe_expand_lora_scales`).
 */
import { refuse } from '../options/checks.ts';

/** Weights of a block's transformers: one for all, or one for each. */
type BlockWeight = number | readonly number[];

/** Weights of one side of a UNet: one for all blocks, or one for each that has attention. */
type SideWeight = BlockWeight | Readonly<Record<`block${number}` | `block_${number}`, BlockWeight>>;

/** A UNet's weights: one for all, or by blocks. */
export type UNetAdapterWeights =
  number | { readonly down?: SideWeight; readonly mid?: BlockWeight; readonly up?: SideWeight };

/** A finite number. Throws OptionError. */
export function readNumber(field: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return refuse(field, `${JSON.stringify(value)} is not a number`, 'Give a finite number, such as 0.8');
}

/** A key as diffusers spells it. */
function pythonic(key: string): string {
  return key.replace(/(?<=[a-z])[A-Z0-9]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** An object with none but these keys, under their names in diffusers. */
export function readRecord(
  field: string,
  value: unknown,
  keys: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(field, `${JSON.stringify(value)} is neither a number nor an object`, 'Give one of them');
  const entries = Object.entries(value).map(([key, entry]) => [pythonic(key), entry as unknown] as const);
  for (const [key] of entries)
    if (!keys.includes(key))
      refuse(`${field}.${key}`, 'there is nothing of this name to weight', `Use ${keys.join(', ')}`);
  return Object.fromEntries(entries);
}

/**
 * Weights by block as weights of each attention, by its path.
 * @param field names the option in errors
 * @param attentions the paths of the UNet's, such as `down_blocks.0.attentions.1`
 * @param byDefault the weight of what is not named
 * @throws OptionError naming the block that there is not
 */
export function blockWeights(
  field: string,
  value: unknown,
  attentions: ReadonlySet<string>,
  byDefault: number,
): Map<string, number> {
  const given = readRecord(field, value, ['down', 'mid', 'up']);
  const weights = new Map<string, number>();
  const mid = 'mid_block.attentions.0';
  if (attentions.has(mid)) weights.set(mid, list(`${field}.mid`, given['mid'] ?? byDefault, 1)[0]);
  else if (given['mid'] !== undefined)
    refuse(`${field}.mid`, 'this UNet has no attention in the middle', 'Leave it out');
  for (const side of ['down', 'up'] as const) {
    const sideField = `${field}.${side}`;
    const sizes = blockSizes(attentions, `${side}_blocks`);
    const blocks = [...sizes.keys()].map((block) => `block_${block}`);
    const own = given[side] ?? byDefault;
    const byBlock =
      typeof own === 'object' && !Array.isArray(own)
        ? readRecord(sideField, own, blocks)
        : Object.fromEntries(blocks.map((block) => [block, own]));
    for (const [block, size] of sizes)
      list(`${sideField}.block_${block}`, byBlock[`block_${block}`] ?? byDefault, size).forEach((weight, i) =>
        weights.set(`${side}_blocks.${block}.attentions.${i}`, weight),
      );
  }
  return weights;
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
  return Array.from({ length }, (_, i) => readNumber(field, values[values.length === 1 ? 0 : i]));
}
