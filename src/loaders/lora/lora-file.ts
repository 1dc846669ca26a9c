/**
 * @file A LoRA file of any key style, read: what it adds to which weight of which component.
 */
import { FileFormatError } from '../../errors.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import type { AdapterLayer } from './adapter-layer.ts';
import { readAdapterConfig, scalesOf, type AdapterConfigFile, type RankedLayer } from './alphas.ts';
import { isOriginalName, kohyaNames, placeKohyaKey } from './kohya-keys.ts';
import {
  LORA_COMPONENTS,
  type ComponentModules,
  type LayerPart,
  type LoraComponent,
  type PlacedKey,
} from './layer-parts.ts';
import { alphaOf, rankOf, readLayer, type StoredLayer } from './lora-layers.ts';
import { numberedModules, placeNumberedKey } from './numbered-keys.ts';
import { placePeftKey } from './peft-keys.ts';

/** How a LoRA file is read. */
export interface ReadLoraOptions {
  /** See `scalesOf`. Default false. */
  readonly ownAlphas?: boolean;
  /** PEFT's configuration, for files that have none in their metadata. */
  readonly config?: AdapterConfigFile | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how many layers of how many are read. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The layers of an adapter, by component and module. */
export type AdapterLayers = ReadonlyMap<LoraComponent, ReadonlyMap<string, AdapterLayer>>;

/** What a LoRA file gives. */
export interface LoraFile {
  readonly layers: AdapterLayers;
  /** What was left out or is read otherwise than expected, for people. */
  readonly notices: readonly string[];
}

/** A layer before its tensors are read. */
interface FoundLayer extends StoredLayer {
  readonly module: string;
  readonly parts: Map<LayerPart, string>;
  readonly alphas: PlacedKey['alphas'];
}

/** How many names a message lists. */
const SHOWN = 6;

/** Textual inversion embeddings that trainers put into the same file. */
const EMBEDDING = /^(<.+>|bundle_emb\..+)$/;

/**
 * Reads a LoRA file.
 * @param modules the weights of the model that adapters may change
 * @throws FileFormatError for a file that matches nothing, tensors that are no part of a known kind of layer, layers
 * that lack a part, and tensors that do not fit the model's weights; nothing is read before shapes are known to fit
 */
export async function readLoraFile(
  file: SafetensorsFile,
  modules: ComponentModules,
  { ownAlphas = false, config, signal, onProgress }: ReadLoraOptions = {},
): Promise<LoraFile> {
  const { found, notices } = findLayers(file, modules);
  const layers = new Map<LoraComponent, Map<string, AdapterLayer>>();
  const total = [...found.values()].reduce((sum, list) => sum + list.size, 0);
  let done = 0;
  for (const [component, list] of found) {
    const ranked: RankedLayer[] = [];
    for (const { module, alphas, ...layer } of list.values()) {
      const rank = rankOf(file, layer);
      const alpha = rank === undefined ? undefined : await alphaOf(file, layer, signal);
      ranked.push({ module, alphas, alpha, rank });
    }
    const configured = readAdapterConfig(file, component, config);
    const { byModule, notice } = scalesOf(ranked, component, configured, ownAlphas);
    if (notice !== undefined) notices.push(`${file.name}: ${notice}`);
    const read = new Map<string, AdapterLayer>();
    for (const layer of list.values()) {
      signal?.throwIfAborted();
      read.set(layer.module, await readLayer(file, layer, byModule.get(layer.module) ?? 1, signal));
      onProgress?.(++done, total);
    }
    layers.set(component, read);
  }
  return { layers, notices };
}

/** Sorts a file's tensors into layers. */
function findLayers(
  file: SafetensorsFile,
  modules: ComponentModules,
): { found: Map<LoraComponent, Map<string, FoundLayer>>; notices: string[] } {
  const keys = [...file.names()];
  const names = kohyaNames(modules);
  const numbers = numberedModules(file, modules);
  // As diffusers does: where a file has both layouts, the original one is left out.
  const hasBoth =
    keys.some(isOriginalName) &&
    keys.some((key) => /^lora_unet_(down_blocks|mid_block|up_blocks)_/.test(key));
  const found = new Map<LoraComponent, Map<string, FoundLayer>>();
  const strangers: string[] = [];
  const homeless: string[] = [];
  const embeddings: string[] = [];
  for (const key of keys) {
    if (hasBoth && isOriginalName(key)) continue;
    const placed = placeKohyaKey(key, names) ?? placeNumberedKey(key, numbers) ?? placePeftKey(key, modules);
    const shape = placed && modules.get(placed.component)?.get(placed.module);
    if (placed === undefined) (EMBEDDING.test(key) ? embeddings : strangers).push(key);
    else if (shape === undefined) homeless.push(key);
    else addPart(file, found, key, placed, shape);
  }
  const notices: string[] = [];
  if (found.size === 0) throw nothingFits(file, keys, homeless);
  if (strangers.length > 0)
    throw new FileFormatError(
      `has ${strangers.length} tensors that are of no known kind of layer: ${listed(strangers)}`,
      {
        file: file.name,
        remedy: 'LoRA, LoCon, LoHa, LoKr and DoRA are read, without biases; use a version of these kinds',
      },
    );
  if (homeless.length > 0)
    notices.push(
      `${file.name}: ${homeless.length} tensors belong to no weight of this model and are not used: ${listed(homeless)}`,
    );
  if (embeddings.length > 0)
    notices.push(
      `${file.name}: ${listed(embeddings)} are textual inversion embeddings, which a LoRA's loading leaves out`,
    );
  return { found: inOrder(found), notices };
}

function addPart(
  file: SafetensorsFile,
  found: Map<LoraComponent, Map<string, FoundLayer>>,
  key: string,
  { component, module, part, alphas }: PlacedKey,
  shape: readonly number[],
): void {
  const list = found.get(component) ?? new Map<string, FoundLayer>();
  found.set(component, list);
  const layer = list.get(module) ?? { module, shape, parts: new Map<LayerPart, string>(), alphas };
  list.set(module, layer);
  const other = layer.parts.get(part);
  if (other !== undefined)
    throw new FileFormatError(`is the same part of ${component}.${module} as ${other}`, {
      file: file.name,
      field: key,
      remedy: 'The file mixes several LoRAs; use one file for each',
    });
  layer.parts.set(part, key);
}

/** Components in their usual order, whatever that of the file. */
function inOrder<T>(found: ReadonlyMap<LoraComponent, T>): Map<LoraComponent, T> {
  return new Map(
    LORA_COMPONENTS.flatMap((component): [LoraComponent, T][] => {
      const list = found.get(component);
      return list === undefined ? [] : [[component, list]];
    }),
  );
}

function listed(names: readonly string[]): string {
  const more = names.length > SHOWN ? `, and ${names.length - SHOWN} more` : '';
  return names.slice(0, SHOWN).join(', ') + more;
}

/** The error for a file of which nothing can be used. */
function nothingFits(
  file: SafetensorsFile,
  keys: readonly string[],
  homeless: readonly string[],
): FileFormatError {
  if (homeless.length > 0)
    return new FileFormatError(
      `is a LoRA, but none of its ${keys.length} tensors fits this model; it has ${listed(homeless)}`,
      { file: file.name, remedy: 'Use it with the kind of model that it was made for' },
    );
  const what = keys.length === 0 ? 'no tensors' : `${keys.length} tensors: ${listed(keys)}`;
  return new FileFormatError(`is no LoRA: it has ${what}`, {
    file: file.name,
    remedy: "Use a LoRA in PEFT's, diffusers' or kohya's format; whole models are loaded with fromSingleFile",
  });
}
