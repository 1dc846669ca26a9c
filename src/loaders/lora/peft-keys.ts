/**
 * @file Keys as PEFT and diffusers write them: a component, a module's path with dots, and a part. Older forms are
 * attention processors (`attn1.processor.to_q_lora.down.weight`, which are of the UNet if no component is named),
 * `to_q.lora.down.weight`, and `q_proj.lora_linear_layer.down.weight` of text encoders
 * (diffusers utils/state_dict_utils.py).
 */
import {
  LORA_COMPONENTS,
  splitKey,
  type ComponentModules,
  type LoraComponent,
  type Modules,
  type PlacedKey,
} from './layer-parts.ts';

/** PEFT's own files name the model that it wraps. */
const WRAPPER = /^base_model\.model\./;

/** diffusers' attention processors: `to_q_lora.down` in the module that has `to_q`. */
const PROCESSOR = /\.(to_(?:q|k|v|out))_lora\.(down|up)\.weight$/;
/** What attention processors of text encoders were called. */
const CLIP_PROJECTIONS: ReadonlyMap<string, string> = new Map([
  ['to_q', 'q_proj'],
  ['to_k', 'k_proj'],
  ['to_v', 'v_proj'],
  ['to_out', 'out_proj'],
]);

/** Where a key of these styles belongs; undefined if it has none of their parts. */
export function placePeftKey(key: string, modules: ComponentModules): PlacedKey | undefined {
  const [component, rest] = splitComponent(key.replace(WRAPPER, ''), modules);
  const split = splitKey(rest.replaceAll('.processor.', '.').replace(PROCESSOR, '.$1.lora.$2.weight'));
  if (split === undefined) return undefined;
  const { layer, part } = split;
  const module = /^(unet|transformer)$/.test(component)
    ? attentionModule(layer)
    : textModule(layer, modules.get(component));
  return { component, module, part, alphas: 'peft' };
}

/** The network that denoises where no component is named. */
function splitComponent(key: string, modules: ComponentModules): readonly [LoraComponent, string] {
  for (const component of LORA_COMPONENTS)
    if (key.startsWith(`${component}.`)) return [component, key.slice(component.length + 1)];
  return [modules.has('transformer') ? 'transformer' : 'unet', key];
}

/** The output projection is the first of a list of modules. */
function attentionModule(layer: string): string {
  return layer.replace(/\.to_out$/, '.to_out.0');
}

/** transformers 5 leaves `text_model.` out of CLIPTextModel's names. */
function textModule(layer: string, modules: Modules | undefined): string {
  const renamed = layer.replace(/[^.]+$/, (last) => CLIP_PROJECTIONS.get(last) ?? last);
  const whole = `text_model.${renamed}`;
  return modules?.has(whole) ? whole : renamed;
}
