/** @file Which runtime this is, and what follows: how models are found and which backends are tried. */

import type { BackendFactory } from '../backends/backend.ts';
import { webgpu } from '../backends/webgpu/backend.ts';
import { hubRepository, hubSettings, hubSource } from '../loaders/hub.ts';
import { httpModelSource, type ModelSource } from '../loaders/model-source.ts';
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
  if (/^https?:\/\//.test(source)) return httpModelSource(source);
  if (!hasNodeModules()) return hubSource(hubRepository(source, options.revision), hubSettings({}));
  const { resolveNodeModel } = await import('./node-model.ts');
  return resolveNodeModel(source, options, onNotice);
}

/** This runtime. */
export const platform: Platform = {
  resolveModel,
  defaultBackends: (): readonly BackendFactory[] => [webgpu()],
};
