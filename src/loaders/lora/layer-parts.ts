/**
 * @file What tensors of a LoRA file are: parts of a layer, which changes one weight of one component. The files of key
 * styles say which layer a key belongs to; this one knows the parts that all of them share.
 */

/** All components that adapters change, by the names of their folders, in the order in which diffusers loads them. */
export const LORA_COMPONENTS = ['unet', 'transformer', 'text_encoder', 'text_encoder_2'] as const;

/** One of them. */
export type LoraComponent = (typeof LORA_COMPONENTS)[number];

/** The stored shapes of a component's weights, by the paths of their modules (`mid_block.attentions.0.proj_in`). */
export type Modules = ReadonlyMap<string, readonly number[]>;

/** The modules that adapters may change, by component. */
export type ComponentModules = ReadonlyMap<LoraComponent, Modules>;

/** How names of parts end, after the name of their layer. */
const PARTS = [
  ['down', /^(lora_down|lora_A(\.\w+)?|lora\.down|lora_linear_layer\.down)\.weight$/],
  ['up', /^(lora_up|lora_B(\.\w+)?|lora\.up|lora_linear_layer\.up)\.weight$/],
  ['mid', /^lora_mid\.weight$/],
  ['magnitude', /^(lora_magnitude_vector(\.\w+)?|dora_scale)$/],
  ['alpha', /^alpha$/],
  ['hada_w1_a', /^hada_w1_a$/],
  ['hada_w1_b', /^hada_w1_b$/],
  ['hada_w2_a', /^hada_w2_a$/],
  ['hada_w2_b', /^hada_w2_b$/],
  ['hada_t1', /^hada_t1$/],
  ['hada_t2', /^hada_t2$/],
  ['lokr_w1', /^lokr_w1$/],
  ['lokr_w1_a', /^lokr_w1_a$/],
  ['lokr_w1_b', /^lokr_w1_b$/],
  ['lokr_w2', /^lokr_w2$/],
  ['lokr_w2_a', /^lokr_w2_a$/],
  ['lokr_w2_b', /^lokr_w2_b$/],
  ['lokr_t2', /^lokr_t2$/],
] as const;

/** A part of a layer. */
export type LayerPart = (typeof PARTS)[number][0];

/** Where a tensor belongs. */
export interface PlacedKey {
  readonly component: LoraComponent;
  /** Path of the module whose weight is changed, as far as the key tells: it may not be in the model. */
  readonly module: string;
  readonly part: LayerPart;
  /** Which alphas count for the layer: see alphas.ts. */
  readonly alphas: 'kohya' | 'peft';
}

/** The part that a name's end means; undefined if it is none. */
export function partOf(ending: string): LayerPart | undefined {
  return PARTS.find(([, pattern]) => pattern.test(ending))?.[0];
}

/** Cuts a name into layer and part: the layer is what stands before the first dot after which a part's name remains. */
export function splitKey(key: string): { readonly layer: string; readonly part: LayerPart } | undefined {
  for (let dot = key.indexOf('.'); dot >= 0; dot = key.indexOf('.', dot + 1)) {
    const part = partOf(key.slice(dot + 1));
    if (part !== undefined) return { layer: key.slice(0, dot), part };
  }
  return undefined;
}
