/** @file Puts a component's weights on a backend, after checking that every tensor its graph needs is there. */

import type { Backend } from '../../backends/backend.ts';
import type { Graph } from '../../graph/graph.ts';
import { expectTensor, type WeightSource } from '../../loaders/weight-source.ts';
import { STORED_DTYPES, type FloatDType } from '../../tensor/dtype.ts';
import { ReaderSlot, TensorReader } from '../memory/tensor-reader.ts';
import { Network } from '../network.ts';

/**
 * Storage type of weights and activations. `auto` is f16 where the device computes in it and the file is no wider, else
 * f32; `f16` on other devices halves the weights and leaves activations and arithmetic in f32. `bf16`, which reaches as far
 * as f32 and is three bits less exact than f16, can be had on CUDA.
 */
export type ComponentDType = 'auto' | FloatDType;

/** Other names under which files keep a tensor. */
export type Aliases = (name: string) => string[];

/** How a component is loaded. */
export interface LoadNetworkOptions {
  readonly dtype: ComponentDType;
  /** Run in f32 what would run in f16 (a VAE's `force_upcast`: its values go beyond 65504). */
  readonly upcast?: boolean;
  /** Compute in f32 whatever the weights are held in: for networks that leave the range of halves. */
  readonly arithmetic?: 'f32';
  readonly aliases?: Aliases;
  /** Whether a tensor's stored type counts for `auto`; default all do. */
  readonly counts?: (tensor: string) => boolean;
}

/** @param widest bytes of the widest stored element */
function storageOf(
  backend: Backend,
  { dtype, upcast = false }: LoadNetworkOptions,
  widest: number,
): FloatDType {
  if (dtype === 'bf16') return 'bf16';
  const suits = dtype === 'auto' ? widest <= 2 && backend.dtypes.includes('f16') : dtype === 'f16';
  return suits && !upcast ? 'f16' : 'f32';
}

/** The name under which a source has a tensor; the first name if it has none of them. */
function storedName(source: WeightSource, name: string, aliases: Aliases): string {
  return [name, ...aliases(name)].find((candidate) => source.has(candidate)) ?? name;
}

/**
 * A network on a backend. Nothing is read but headers: weights follow when programs are compiled.
 * @param graphs all graphs that the network may run; their tensors must be in `source`
 * @throws NotFoundError for a missing tensor, FileFormatError for one of another shape, OptionError for 16 bits on a
 * backend that cannot hold them
 */
export function loadNetwork(
  name: string,
  backend: Backend,
  source: WeightSource,
  graphs: readonly Graph[],
  options: LoadNetworkOptions,
): Network {
  const { arithmetic, aliases = () => [], counts = () => true } = options;
  const parts = graphs.flatMap(({ weights }) => weights.flatMap((weight) => weight.parts));
  const shapes = new Map(parts.map((part) => [part.name, part.shape]));
  let widest = 0;
  for (const [tensor, shape] of shapes) {
    const { dtype: stored } = expectTensor(source, storedName(source, tensor, aliases), shape);
    if (counts(tensor)) widest = Math.max(widest, STORED_DTYPES[stored]);
  }
  const storage = storageOf(backend, options, widest);
  // Refuses what it cannot hold before anything is read.
  backend.target(storage);
  const stored = new TensorReader({
    info: (tensor: string) => source.info(storedName(source, tensor, aliases)),
    read: (tensor: string, signal?: AbortSignal) => source.read(storedName(source, tensor, aliases), signal),
  });
  const reader = new ReaderSlot(stored);
  return new Network(name, backend, storage, backend.createWeights(reader), {
    tensors: { reader, stored, shapes },
    arithmetic,
  });
}
