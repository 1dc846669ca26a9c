/**
 * @file Keys as kohya's trainer (sd-scripts) and LyCORIS write them: `lora_unet_`, `lora_te_`, `lora_te1_` or
 * `lora_te2_` (OneTrainer's for PixArt `lora_transformer_`), the module's path with underscores for dots, and a part after the first dot. UNets' modules go by
 * diffusers' names or by those of the original layout (`input_blocks_4_1`). Underscores are in names too, so
 * the model's own modules are looked up rather than the keys taken apart.
 */
import { ENDS, RESNET_PARTS } from '../single-file/unet-names.ts';
import type { ComponentModules, LoraComponent, Modules, PlacedKey } from './layer-parts.ts';
import { partOf } from './layer-parts.ts';

const KEY = /^lora_(unet|transformer|te1?|te2)_([^.]+)\.(.+)$/;

/** What keys call components. */
const COMPONENTS: ReadonlyMap<string, LoraComponent> = new Map([
  ['unet', 'unet'],
  ['transformer', 'transformer'],
  ['te', 'text_encoder'],
  ['te1', 'text_encoder'],
  ['te2', 'text_encoder_2'],
]);

/** Module by its name with underscores. */
export type KohyaNames = ReadonlyMap<LoraComponent, ReadonlyMap<string, string>>;

/** The names of a pipeline's modules in keys; UNets' in both layouts. */
export function kohyaNames(modules: ComponentModules): KohyaNames {
  const flat = (paths: Iterable<string>): [string, string][] =>
    [...paths].map((path) => [path.replaceAll('.', '_'), path]);
  return new Map(
    [...modules].map(([component, paths]) => {
      const names = flat(paths.keys());
      if (component === 'unet')
        for (const [original, path] of originalNames(paths))
          names.push([original.replaceAll('.', '_'), path]);
      return [component, new Map(names)];
    }),
  );
}

/** Where a key of this style belongs; undefined if it is of another style or has none of its parts. */
export function placeKohyaKey(key: string, names: KohyaNames): PlacedKey | undefined {
  const match = KEY.exec(key);
  const part = match ? partOf(match[3]) : undefined;
  if (match === null || part === undefined) return undefined;
  const component = COMPONENTS.get(match[1]) ?? 'unet';
  const module = names.get(component)?.get(match[2]) ?? match[2];
  // diffusers reads no such files for transformers: what the trainer meant holds.
  return { component, module, part, alphas: names.has('transformer') ? 'peft' : 'kohya' };
}

/** Whether a key names its module as the original layout does. */
export function isOriginalName(key: string): boolean {
  return /^lora_unet_(input_blocks|middle_block|output_blocks)_/.test(key);
}

/** A UNet's modules under the names of the original layout, which counts them in the order they run. */
function originalNames(modules: Modules): [original: string, path: string][] {
  const paths = [...modules.keys()];
  const count = (prefix: string): number => {
    const numbers = paths.flatMap((path) =>
      path.startsWith(`${prefix}.`) ? [parseInt(path.slice(prefix.length + 1), 10) + 1] : [],
    );
    return Math.max(0, ...numbers);
  };
  /** Path of a block in diffusers, and in the original layout. */
  const blocks: [path: string, original: string][] = [
    ['mid_block.resnets.0', 'middle_block.0'],
    ['mid_block.attentions.0', 'middle_block.1'],
    ['mid_block.resnets.1', 'middle_block.2'],
  ];
  for (const [side, resample, first] of [
    ['input', 'downsamplers', 1],
    ['output', 'upsamplers', 0],
  ] as const) {
    const parent = side === 'input' ? 'down_blocks' : 'up_blocks';
    let number = first;
    for (let level = 0; level < count(parent); level++) {
      const block = `${parent}.${level}`;
      for (let i = 0; i < count(`${block}.resnets`); i++, number++) {
        blocks.push([`${block}.resnets.${i}`, `${side}_blocks.${number}.0`]);
        blocks.push([`${block}.attentions.${i}`, `${side}_blocks.${number}.1`]);
      }
      const path = `${block}.${resample}.0.conv`;
      if (!modules.has(path)) continue;
      if (side === 'input') blocks.push([path, `input_blocks.${number++}.0.op`]);
      // The upsampler follows the last layer's resnet and attention in one block.
      else
        blocks.push([path, `output_blocks.${number - 1}.${count(`${block}.attentions`) > 0 ? 2 : 1}.conv`]);
    }
  }
  const resnetParts = new Map([...RESNET_PARTS].map(([original, part]) => [part, original]));
  const names = [...ENDS].filter(([, path]) => modules.has(path));
  for (const path of paths)
    for (const [block, original] of blocks) {
      if (path !== block && !path.startsWith(`${block}.`)) continue;
      const rest = path.slice(block.length + 1);
      names.push([[original, ...(rest === '' ? [] : [resnetParts.get(rest) ?? rest])].join('.'), path]);
    }
  return names;
}
