/** @file What `loadIpAdapter` opens: the adapters' files, checked against the model, and their image encoder. */

import { asList } from '../../as-list.ts';
import { FileFormatError, OptionError } from '../../errors.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { readIpAdapter, type IpAdapterConfig } from '../../loaders/ip-adapter.ts';
import { joinPath, type ModelSource } from '../../loaders/model-source.ts';
import { expectTensor, type WeightSource } from '../../loaders/weight-source.ts';
import { openAddedFile, type AddedFileSource } from '../load/added-file.ts';
import { checkOptionNames } from '../../option-names.ts';
import { isWeightFile } from '../load/weight-file-name.ts';
import { adapterTensors } from './adapter-tensors.ts';
import { type ImageEncoder, loadImageEncoder } from './image-encoder.ts';
import { IP_ADAPTER_FILE } from './ip-adapter-source.ts';
import type { IpAdapterHost, LoadIpAdapterOptions } from './ip-adapters.ts';

export { readScales } from './adapter-scales.ts';
export { adapterPath, imagePrompts } from './image-prompt-graph.ts';
export { readImagePrompts } from './image-prompts.ts';
export { transformerBlocks } from '../../models/unet-layers.ts';

const OPTIONS = [
  'weightName',
  'subfolder',
  'imageEncoderFolder',
  'revision',
  'signal',
] as const satisfies readonly (keyof LoadIpAdapterOptions)[];

/** The file of an adapter. */
interface AdapterFile {
  readonly file: WeightSource;
  /** Names of what is read of it. */
  readonly tensors: readonly string[];
}

/** What was opened; it is to be closed. */
export interface OpenIpAdapters {
  readonly adapters: readonly IpAdapterConfig[];
  readonly files: readonly AdapterFile[];
  readonly encoder: ImageEncoder | undefined;
}

/** Opens adapters and the encoder beside the first of them; throws as `IpAdapterMethods.loadIpAdapter` says. */
export async function openIpAdapters(
  host: IpAdapterHost,
  source: AddedFileSource | readonly AddedFileSource[],
  options: LoadIpAdapterOptions,
): Promise<OpenIpAdapters> {
  checkOptionNames('loadIpAdapter', options, OPTIONS);
  const places = readPlaces(source, options);
  const { platform, unet } = host;
  const files: AdapterFile[] = [];
  const adapters: IpAdapterConfig[] = [];
  try {
    for (const place of places) {
      const file = await openAddedFile(platform, IP_ADAPTER_FILE, place.source, place, (notice) =>
        host.onNotice(notice),
      );
      const tensors: string[] = [];
      files.push({ file, tensors });
      adapters.push(readOne(file, unet, tensors));
    }
    return { adapters, files, encoder: await openEncoder(host, places[0], options) };
  } catch (error) {
    for (const { file } of files) await file.close();
    throw error;
  }
}

async function openEncoder(
  host: IpAdapterHost,
  { source, subfolder = '' }: Place,
  { imageEncoderFolder, revision, signal }: LoadIpAdapterOptions,
): Promise<ImageEncoder | undefined> {
  if (imageEncoderFolder === null) return undefined;
  const { platform, backend, dtype } = host;
  const options = { ...(revision !== undefined && { revision }), ...(signal && { signal }) };
  const resolve = (name: string): Promise<ModelSource> =>
    platform.resolveModel(name, options, (notice) => host.onNotice(notice));
  const isFile = typeof source === 'string' ? isWeightFile(source) : !('open' in source);
  if (isFile)
    return imageEncoderFolder === undefined
      ? undefined
      : loadImageEncoder(await resolve(imageEncoderFolder), '', backend, dtype, signal);
  const name = imageEncoderFolder ?? 'image_encoder';
  const folder = name.includes('/') ? name : joinPath(subfolder, name);
  const model = typeof source === 'string' ? await resolve(source) : source;
  return 'open' in model ? loadImageEncoder(model, folder, backend, dtype, signal) : undefined;
}

/** One adapter's file. */
interface Place {
  readonly source: AddedFileSource;
  readonly weightName?: string | undefined;
  readonly subfolder?: string | undefined;
  readonly revision?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Lists of sources, names and folders, one for all or one for each. */
function readPlaces(
  source: AddedFileSource | readonly AddedFileSource[],
  { weightName, subfolder, revision, signal }: LoadIpAdapterOptions,
): Place[] {
  const lists = { source: asList(source), weightName: asList(weightName), subfolder: asList(subfolder) };
  const count = Math.max(...Object.values(lists).map((list) => list.length));
  for (const [field, { length }] of Object.entries(lists))
    if (length !== count && length !== 1)
      throw new OptionError(`it has ${length} entries for ${count} IP-Adapters`, {
        field,
        remedy: 'Give one for all, or one for each',
      });
  const at = <T>(list: readonly T[], i: number): T => list[list.length === 1 ? 0 : i];
  return Array.from({ length: count }, (_, i) => ({
    source: at(lists.source, i),
    weightName: at(lists.weightName, i),
    subfolder: at(lists.subfolder, i),
    revision,
    signal,
  }));
}

/** What a file holds; its tensors are checked against all that the UNet would read, whose names go into `names`. */
function readOne(file: WeightSource, unet: UNet2DConditionConfig, names: string[]): IpAdapterConfig {
  const config = readIpAdapter(file, unet.crossAttentionDim);
  const tensors = adapterTensors(unet, config);
  for (const { name, shape } of tensors) expectTensor(file, name, shape);
  names.push(...tensors.map(({ name }) => name));
  const wanted = new Set(names);
  const extra = [...file.names()].find((name) => name.endsWith('.to_k_ip.weight') && !wanted.has(name));
  if (extra !== undefined)
    throw new FileFormatError('is for an attention that the model does not have', {
      file: file.name,
      field: extra,
      remedy: 'Use an IP-Adapter that was made for this kind of model',
    });
  return config;
}
