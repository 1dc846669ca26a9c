/**
 * @file Which adapters are loaded, active and how strong: values that never change, so that a call that waits in the
 * queue keeps those of the moment it was made. What follows from what is PEFT's behaviour (tuners/tuners_utils.py).
 */
import { OptionError } from '../../errors.ts';
import type { LoraComponent } from '../../loaders/lora/layer-parts.ts';
import type { AdapterLayers } from '../../loaders/lora/lora-file.ts';
import type { AdapterWeight, ComponentWeights } from './adapter-weights.ts';

/** A loaded adapter. */
export interface Adapter {
  /** Where it came from. */
  readonly source: string;
  readonly layers: AdapterLayers;
  /** The weight as it was given, and what it is in each component. */
  readonly weight: AdapterWeight;
  readonly weights: ComponentWeights;
}

/** The adapters of a pipeline. */
export interface AdapterState {
  readonly adapters: ReadonlyMap<string, Adapter>;
  /** Those in use, by component, in the order that they were named. */
  readonly active: ReadonlyMap<LoraComponent, readonly string[]>;
  readonly enabled: boolean;
}

/** No adapters. */
export const NO_ADAPTERS: AdapterState = { adapters: new Map(), active: new Map(), enabled: true };

/** Throws OptionError for a name that no adapter has. */
export function checkAdapterNames(state: AdapterState, names: readonly string[]): void {
  const known = [...state.adapters.keys()];
  for (const name of names)
    if (!known.includes(name))
      throw new OptionError('there is no adapter of this name', {
        field: name,
        remedy: known.length === 0 ? 'Load one with loadLoraWeights' : `There are ${known.join(', ')}`,
      });
}

/** Names of all active adapters. */
export function activeAdapters({ active }: AdapterState): string[] {
  return [...new Set([...active.values()].flat())];
}
