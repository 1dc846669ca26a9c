/** @file Which runtime this is, and what follows: how models are found and which backends are tried. */

import type { BackendFactory } from '../backends/backend.ts';
import { cpu } from '../backends/cpu/cpu.ts';
import { webgpu } from '../backends/webgpu/webgpu.ts';
import { NotFoundError } from '../errors.ts';
import type { ByteSource } from '../loaders/byte-source.ts';
import { hubRepository, hubSettings, hubSource } from '../loaders/hub.ts';
import { parseHubFile } from '../loaders/hub-file.ts';
import { openHttpSource } from '../loaders/http-source.ts';
import { httpModelSource, openRequired, type ModelSource } from '../loaders/model-source.ts';
import { openModelCache } from './opfs-store.ts';
import type { FromPretrainedOptions, Platform } from '../pipelines/from-pretrained.ts';

/** Node, or Deno, which has Node's modules too. */
export function hasNodeModules(): boolean {
  return typeof process === 'object' && process.versions?.node !== undefined;
}

async function resolveModel(
  source: string,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<ModelSource> {
  const isUrl = /^https?:\/\//.test(source);
  if (!hasNodeModules()) {
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
  if (isUrl) return httpModelSource(source);
  const { resolveNodeModel } = await import('./node-model.ts');
  return resolveNodeModel(source, options, onNotice);
}

async function openFile(
  source: string,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  if (hasNodeModules()) {
    const { openLocalFile } = await import('./node-model.ts');
    const local = await openLocalFile(source);
    if (local !== undefined) return local;
  }
  const { endpoint } = hubSettings(hasNodeModules() ? process.env : {});
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

/** This runtime. */
export const platform: Platform = {
  resolveModel,
  openFile,
  defaultBackends: (): readonly BackendFactory[] => [webgpu(), cpu()],
};
