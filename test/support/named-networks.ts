/** @file Model folders of fixtures with some of their networks replaced by ones with named weights. */

import * as v from 'valibot';
import type { ModelSource } from '../../src/index.ts';
import { bufferSource, type ByteSource } from '../../src/loaders/byte-source.ts';
import { makeSafetensors, type TestTensor } from '../loaders/make-safetensors.ts';
import { namedWeights } from './named-weights.ts';

/** A network as the make_*.py scripts describe it: its config.json, and the shapes of its tensors. */
export const networkSchema = v.object({
  config: v.record(v.string(), v.unknown()),
  shapes: v.record(v.string(), v.array(v.number())),
  /** For one that is a single file, the names of its tensors there by diffusers' names. */
  single_file: v.exactOptional(v.record(v.string(), v.string())),
});

/** A network whose weights follow from their names, which begin with its own. */
export interface NamedNetwork extends v.InferOutput<typeof networkSchema> {
  readonly name: string;
}

function configFile(path: string, { config }: NamedNetwork): ByteSource {
  return bufferSource(path, new TextEncoder().encode(JSON.stringify(config)));
}

/** `base` with networks in the place of its own (or beside them), by folder. */
export function withNetworks(
  base: ModelSource,
  networks: Readonly<Record<string, NamedNetwork>>,
): ModelSource {
  const place = (path: string): NamedNetwork | undefined =>
    Object.entries(networks).find(
      ([folder]) => path === (folder === '' ? '' : `${folder}/`) + 'config.json',
    )?.[1];
  return {
    name: base.name,
    open: async (path, signal) => {
      const network = place(path);
      return network ? configFile(path, network) : base.open(path, signal);
    },
    exists: async (path, signal) => place(path) !== undefined || base.exists(path, signal),
    list: async (folder, signal) => base.list(folder, signal),
    weights: async (component, signal) =>
      Object.hasOwn(networks, component)
        ? namedWeights(networks[component].shapes, `${networks[component].name}/`)
        : base.weights?.(component, signal),
  };
}

/** A network as the files of its folder, by name. */
export async function networkFiles(
  { name, config, shapes }: NamedNetwork,
  file = NETWORK_WEIGHTS,
): Promise<Readonly<Record<string, Uint8Array<ArrayBuffer>>>> {
  const weights = namedWeights(shapes, `${name}/`);
  const tensors: Record<string, TestTensor> = {};
  for (const [tensor, shape] of Object.entries(shapes))
    tensors[tensor] = { shape, data: await weights.read(tensor) };
  return {
    'config.json': new TextEncoder().encode(JSON.stringify(config)),
    [file]: new Uint8Array(makeSafetensors(tensors)),
  };
}
/** A network that is a single file, without any configuration. */
export async function singleFile({
  name,
  shapes,
  single_file: names = {},
}: NamedNetwork): Promise<ByteSource> {
  const weights = namedWeights(shapes, `${name}/`);
  const tensors: Record<string, TestTensor> = {};
  for (const [tensor, stored] of Object.entries(names))
    tensors[stored] = { shape: shapes[tensor], data: await weights.read(tensor) };
  return bufferSource(`${name}.safetensors`, makeSafetensors(tensors));
}

/** The file of weights in it. */
export const NETWORK_WEIGHTS = 'diffusion_pytorch_model.safetensors';

/** A folder with nothing but one network. */
export function networkSource(network: NamedNetwork): ModelSource {
  const empty: ModelSource = {
    name: network.name,
    open: async () => Promise.resolve(undefined),
    exists: async () => Promise.resolve(false),
    list: async () => Promise.resolve([]),
  };
  return withNetworks(empty, { '': network });
}
