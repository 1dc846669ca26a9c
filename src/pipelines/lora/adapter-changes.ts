/** @file How the adapters of a pipeline change, and what they add to its tensors; loaded with the first. */
import { LORA_COMPONENTS, type LoraComponent } from '../../loaders/lora/layer-parts.ts';
import type { AdapterLayer } from '../../loaders/lora/adapter-layer.ts';
import type { Network } from '../network.ts';
import { AdaptedReader, type ComponentLayers, type WeightedLayer } from './adapted-reader.ts';
import type { Adapter, AdapterState } from './adapter-state.ts';

/** With one adapter more, which alone is active in the components that it changes. */
export function withAdapter(state: AdapterState, name: string, adapter: Adapter): AdapterState {
  const active = new Map(state.active);
  for (const component of adapter.layers.keys()) active.set(component, [name]);
  return { ...state, adapters: new Map([...state.adapters, [name, adapter]]), active };
}

/** With exactly these adapters active, at these weights. */
export function withActive(
  state: AdapterState,
  names: readonly string[],
  weights: readonly Pick<Adapter, 'weight' | 'weights'>[],
): AdapterState {
  const adapters = new Map(state.adapters);
  names.forEach((name, i) => adapters.set(name, { ...adapters.get(name)!, ...weights[i] }));
  return { ...state, adapters, active: new Map(LORA_COMPONENTS.map((component) => [component, names])) };
}

/** With these adapters active besides those that are, at these weights. */
export function withAlsoActive(
  state: AdapterState,
  names: readonly string[],
  weights: readonly Pick<Adapter, 'weight' | 'weights'>[],
): AdapterState {
  const active = LORA_COMPONENTS.map((component): [LoraComponent, readonly string[]] => {
    const before = state.enabled ? (state.active.get(component) ?? []) : [];
    return [component, [...before.filter((name) => !names.includes(name)), ...names]];
  });
  return { ...withActive(state, names, weights), active: new Map(active), enabled: true };
}

/** Without some adapters. Where no active one is left, the first by name takes their place, as in PEFT. */
export function withoutAdapters(state: AdapterState, names: readonly string[]): AdapterState {
  const adapters = new Map([...state.adapters].filter(([name]) => !names.includes(name)));
  const active = new Map<LoraComponent, readonly string[]>();
  for (const [component, list] of state.active) {
    const left = list.filter((name) => !names.includes(name));
    const others = [...adapters]
      .flatMap(([name, { layers }]) => (layers.has(component) ? [name] : []))
      .sort();
    const isEmptied = list.length > 0 && left.length === 0;
    active.set(component, isEmptied ? others.slice(0, 1) : left);
  }
  return { ...state, adapters, active };
}

/** Puts the adapters of a state in place of those that a component had. */
export async function adapt(
  network: Network,
  component: LoraComponent,
  state: AdapterState,
  signal?: AbortSignal,
): Promise<void> {
  const { tensors } = network;
  if (!tensors) return;
  const { now } = tensors.reader;
  const reader = now instanceof AdaptedReader ? now : new AdaptedReader(now);
  tensors.reader.now = reader;
  await network.follow(reader.setLayers(layersOf(state, component)), signal);
}

/** What adapters add to one component's tensors. */
function layersOf({ adapters, active, enabled }: AdapterState, component: LoraComponent): ComponentLayers {
  const loaded = new Map<string, AdapterLayer[]>();
  for (const { layers } of adapters.values())
    for (const [module, layer] of layers.get(component) ?? []) put(loaded, `${module}.weight`, layer);
  const byTensor = new Map<string, WeightedLayer[]>();
  for (const name of enabled ? (active.get(component) ?? []) : []) {
    const adapter = adapters.get(name);
    const weightOf = adapter?.weights.get(component) ?? (() => 1);
    for (const [module, layer] of adapter?.layers.get(component) ?? [])
      put(byTensor, `${module}.weight`, { layer, weight: weightOf(module) });
  }
  return { active: byTensor, loaded };
}

function put<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
