/**
 * @file How strongly an adapter acts where: a number for all of it, or diffusers' dictionaries by component and by block
 * (loaders/lora_base.py `set_adapters`, loaders/unet_loader_utils.py).
 */
import { LORA_COMPONENTS, type LoraComponent, type Modules } from '../../loaders/lora/layer-parts.ts';
import {
  blockWeights,
  readNumber,
  readRecord,
  type UNetAdapterWeights,
} from '../ip-adapter/block-weights.ts';

/**
 * An adapter's weight: a number, or weights by component and block:
 * `{ unet: { down: { block1: [0.5, 1] }, mid: 0.8, up: 1.2 }, textEncoder: 0.5 }`. What is not named has 1. Keys may be
 * spelled as in diffusers' dictionaries too: `block_1`, `text_encoder`.
 */
export type AdapterWeight =
  | number
  | {
      readonly unet?: UNetAdapterWeights;
      readonly transformer?: number;
      readonly textEncoder?: number;
      readonly textEncoder2?: number;
      readonly text_encoder?: number;
      readonly text_encoder_2?: number;
    };

/** The weight of an adapter in one component, by module. */
export type ModuleWeights = (module: string) => number;

/** Weights by component, checked. */
export type ComponentWeights = ReadonlyMap<LoraComponent, ModuleWeights>;

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
    const all = readNumber('weights', weight ?? 1);
    return new Map(LORA_COMPONENTS.map((component) => [component, () => all]));
  }
  const given = readRecord(
    'weights',
    weight,
    LORA_COMPONENTS.filter((component) => modules.has(component)),
  );
  return new Map(
    LORA_COMPONENTS.map((component) => {
      const value = given[component] ?? 1;
      if (component === 'unet' && typeof value === 'object')
        return [component, unetWeights(value, modules.get('unet') ?? new Map())];
      const all = readNumber(`weights.${component}`, value);
      return [component, () => all];
    }),
  );
}

/** Weights of a UNet's modules. */
function unetWeights(value: unknown, modules: Modules): ModuleWeights {
  const attentions = new Set(
    [...modules.keys()].flatMap((path) => /^(.+_blocks?(?:\.\d+)?\.attentions\.\d+)\./.exec(path)?.[1] ?? []),
  );
  const weights = blockWeights('weights.unet', value, attentions, 1);
  return (module) => moduleWeight(module, weights);
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
