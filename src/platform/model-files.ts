/** @file How models and files are found in this runtime: on disk, on the Hub, behind a URL. */

import { node } from '#node-platform';
import { NotFoundError } from '../errors.ts';
import type { ByteSource } from '../loaders/byte-source.ts';
import { hubRepository, hubSettings, hubSource } from '../loaders/hub.ts';
import { parseHubFile } from '../loaders/hub-file.ts';
import { openHttpSource } from '../loaders/http-source.ts';
import { httpModelSource, openRequired, type ModelSource } from '../loaders/model-source.ts';
import { openModelCache } from './opfs-store.ts';
import type { FromPretrainedOptions, Platform } from '../pipelines/load/from-pretrained.ts';

async function resolveModel(
  source: string,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<ModelSource> {
  const isUrl = /^https?:\/\//.test(source);
  if (node) {
    if (isUrl) return httpModelSource(source);
    const { resolveNodeModel } = await node.models();
    return resolveNodeModel(source, options, onNotice);
  }
  const model = isUrl
    ? httpModelSource(source)
    : hubSource(hubRepository(source, options.revision), hubSettings({}));
  const cache = await openModelCache();
  const { onProgress } = options;
  return cache
    ? cache.wrap(model, {
        onNotice,
        ...(onProgress && {
          onProgress: (phase, item, done, total) => onProgress({ phase, item, done, total }),
        }),
      })
    : model;
}

async function openFile(
  source: string,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  if (node) {
    const { openLocalFile } = await node.models();
    const local = await openLocalFile(source);
    if (local !== undefined) return local;
  }
  const { endpoint } = hubSettings(node?.env ?? {});
  const onHub = parseHubFile(source, endpoint);
  if (onHub !== undefined) {
    const { id, path, revision } = onHub;
    const repository = await resolveModel(id, { ...options, ...(revision && { revision }) }, onNotice);
    return openRequired(repository, path, options.signal);
  }
  const found = /^https?:\/\//.test(source) ? await openHttpSource(source, {}, options.signal) : undefined;
  if (found !== undefined) return found;
  throw new NotFoundError('there is no such file', {
    file: source,
    remedy: 'Name a local file, a URL, or a file on the Hub as owner/name/file.safetensors',
  });
}

/** The part of a platform that does not say which backends there are. */
export const modelFiles: Omit<Platform, 'defaultBackends'> = {
  resolveModel,
  openFile,
  freeMemory: async () => (node ? (await node.models()).freeMemory() : 0),
};
