/**
 * @file Keys as cloneofsimo/lora wrote them, the first trainer of LoRAs for Stable Diffusion: `unet:12:down`, numbered
 * in the order in which torch found the linear layers of the classes that the file's metadata lists. There is no alpha:
 * the product counts once.
 */
import * as v from 'valibot';
import { FileFormatError } from '../../errors.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import { parseJson } from '../json.ts';
import type { ComponentModules, LoraComponent, Modules, PlacedKey } from './layer-parts.ts';

const KEY = /^(unet|text_encoder):(\d+):(down|up)$/;

/** UNets keep their blocks in this order: the middle is made last, under a name that was there before. */
const SIDES = ['down_blocks', 'up_blocks', 'mid_block'];
/** Layers of a transformer block in their order, by the class that holds them. */
const ATTENTION_CLASSES = ['CrossAttention', 'Attention'];
const BLOCK_LAYERS: readonly (readonly [string, readonly string[]])[] = [
  ...attentionLayers('attn1'),
  ['ff.net.0.proj', ['GEGLU']],
  ...attentionLayers('attn2'),
];
/** Layers of CLIPAttention in their order. */
const CLIP_LAYERS = ['k_proj', 'v_proj', 'q_proj', 'out_proj'];

const classesSchema = v.array(v.string());

function attentionLayers(name: string): [string, readonly string[]][] {
  return ['to_q', 'to_k', 'to_v', 'to_out.0'].map((layer) => [`${name}.${layer}`, ATTENTION_CLASSES]);
}

/** The modules behind the numbers. */
export type NumberedModules = ReadonlyMap<LoraComponent, readonly string[]>;

/**
 * The modules that the numbers of a file stand for; empty lists where it has no such keys.
 * @throws FileFormatError for classes of modules whose order is not known
 */
export function numberedModules(file: SafetensorsFile, modules: ComponentModules): NumberedModules {
  const components = new Set([...file.names()].flatMap((key) => KEY.exec(key)?.[1] ?? []));
  const lists = new Map<LoraComponent, readonly string[]>();
  if (components.has('unet')) {
    const known = ['GEGLU', ...ATTENTION_CLASSES];
    lists.set('unet', unetLayers(modules.get('unet') ?? new Map(), classesOf(file, 'unet', known)));
  }
  if (components.has('text_encoder')) {
    classesOf(file, 'text_encoder', ['CLIPAttention']);
    lists.set('text_encoder', clipLayers(modules.get('text_encoder') ?? new Map()));
  }
  return lists;
}

/** Where a key of this style belongs; undefined if it is of another style. */
export function placeNumberedKey(key: string, numbers: NumberedModules): PlacedKey | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const component = match[1] === 'unet' ? 'unet' : 'text_encoder';
  const module = numbers.get(component)?.[Number(match[2])] ?? `layer ${match[2]}`;
  return { component, module, part: match[3] === 'up' ? 'up' : 'down', alphas: 'peft' };
}

/** The classes that a file's metadata lists for a component; default: all known ones. */
function classesOf(file: SafetensorsFile, component: string, known: readonly string[]): readonly string[] {
  const text = file.metadata.get(component);
  if (text === undefined) return known;
  const listed = v.safeParse(classesSchema, parseJson(text, file.name));
  const strange = listed.success ? listed.output.find((name) => !known.includes(name)) : text;
  if (listed.success && strange === undefined) return listed.output;
  throw new FileFormatError(`numbers the layers of ${strange}, whose order is not known`, {
    file: file.name,
    field: `metadata "${component}"`,
    remedy: `Only layers of ${known.join(', ')} are read; convert the file to diffusers' format`,
  });
}

function unetLayers(modules: Modules, classes: readonly string[]): string[] {
  const layers = BLOCK_LAYERS.filter(([, holders]) => holders.some((name) => classes.includes(name)));
  const blocks = [...modules.keys()].flatMap(
    (path) => /^(.+\.transformer_blocks\.\d+)\.attn1\.to_q$/.exec(path)?.[1] ?? [],
  );
  return SIDES.flatMap((side) =>
    blocks.filter((block) => block.startsWith(`${side}.`)).sort(byNumbers),
  ).flatMap((block) => layers.map(([layer]) => `${block}.${layer}`));
}

function clipLayers(modules: Modules): string[] {
  const attentions = [...modules.keys()].flatMap((path) => /^(.+\.self_attn)\.q_proj$/.exec(path)?.[1] ?? []);
  return attentions.sort(byNumbers).flatMap((path) => CLIP_LAYERS.map((layer) => `${path}.${layer}`));
}

function byNumbers(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
