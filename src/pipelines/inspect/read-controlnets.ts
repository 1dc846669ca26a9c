/** @file ControlNets that run with a network, by their configurations alone. */

import { parseControlNetConfig, type ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import { readJson, type ModelSource } from '../../loaders/model-source.ts';
import { checkFitsUNet } from '../control/controlnet-option.ts';
import { refuseControlNets } from '../control/refuse-controlnets.ts';
import { isPixArt, type DenoiserConfig } from '../denoise/denoiser-config.ts';

/**
 * The nets of folders with a config.json.
 * @param model name of the model that they are to run with
 * @throws ConfigError unless the nets fit its network
 */
export async function readControlNets(
  sources: readonly ModelSource[],
  network: DenoiserConfig,
  model: string,
  signal?: AbortSignal,
): Promise<ControlNetConfig[]> {
  if (isPixArt(network)) {
    refuseControlNets(sources, model);
    return [];
  }
  const nets: ControlNetConfig[] = [];
  for (const source of sources) {
    const path = 'config.json';
    const file = `${source.name}/${path}`;
    const config = parseControlNetConfig(await readJson(source, path, signal), { file });
    checkFitsUNet({ config, file }, network);
    nets.push(config);
  }
  return nets;
}
