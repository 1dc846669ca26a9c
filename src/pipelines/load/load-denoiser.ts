/** @file Loads the network that denoises, and the ControlNets beside it. */

import { ConfigError } from '../../errors.ts';
import type { ModelIndex, PipelineClass } from '../../loaders/configs/model-index.ts';
import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { parseUNet2DConditionConfig, type UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { joinWeights } from '../../loaders/joined-weights.ts';
import type { StandaloneControlNet } from '../../loaders/single-file/standalone-controlnet.ts';
import { buildUNet2DCondition } from '../../models/unet2d-condition.ts';
import { later } from '../../later.ts';
import { CONTROL } from '../control/control-part.ts';
import { Denoiser } from '../denoise/denoiser.ts';
import { PIXART } from '../families/pixart-part.ts';
import { isInpaintingUNet, isUpscalingUNet } from '../options/image-options.ts';
import { loadNetwork } from './load-network.ts';
import type { ComponentLoader } from './component-loader.ts';

/** ControlNets that were named, or those that lie in the model's own folders. */
export async function loadControlNets(
  loader: ComponentLoader,
  index: ModelIndex,
): Promise<readonly StandaloneControlNet[]> {
  const { controlnets = [], signal, variant } = loader.options;
  const nets: StandaloneControlNet[] = [];
  const add = (net: StandaloneControlNet): void => {
    loader.closeLater(net.weights);
    nets.push(net);
  };
  controlnets.forEach(add);
  if (nets.length > 0 || index.controlnet === undefined) return nets;
  const options = {
    onNotice: (notice: string): void => void loader.notices.push(notice),
    ...(signal && { signal }),
    ...(variant !== undefined && { variant }),
  };
  const { controlNetFromModel } = await later(
    'ControlNets',
    () => import('../../loaders/single-file/standalone-controlnet.ts'),
  );
  add(await controlNetFromModel(loader.source, 'controlnet', options));
  const nextFolder = (): string => `controlnet_${nets.length}`;
  while (
    index.controlnet === 'MultiControlNetModel' &&
    (await loader.source.exists(`${nextFolder()}/config.json`, signal))
  )
    add(await controlNetFromModel(loader.source, nextFolder(), options));
  return nets;
}

/** The UNet and its ControlNets, one network: they run as one graph. Its type follows the UNet's files. */
export async function loadUNet(
  loader: ComponentLoader,
  className: PipelineClass,
  nets: readonly StandaloneControlNet[],
): Promise<{ readonly config: UNet2DConditionConfig; readonly denoiser: Denoiser }> {
  const path = 'unet/config.json';
  const config = await loader.json(path, parseUNet2DConditionConfig);
  const { inChannels, outChannels, numClassEmbeds } = config;
  const fits =
    className === 'StableDiffusionUpscalePipeline'
      ? isUpscalingUNet(config)
      : numClassEmbeds === null && (inChannels === outChannels || isInpaintingUNet(config));
  if (!fits)
    throw new ConfigError(`a UNet of ${inChannels} channels is none that ${className} works with`, {
      file: `${loader.source.name}/${path}`,
      field: 'in_channels',
      remedy: 'Use a model for text-to-image, inpainting or upscaling; InstructPix2Pix is not supported',
    });
  if (nets.length > 0) await CONTROL.load();
  for (const net of nets) CONTROL.loaded.checkFitsUNet(net, config);
  nets.forEach(({ weights }, i) => loader.besideUNet.set(CONTROL.loaded.controlPath(i), weights));
  const paths = [...loader.besideUNet.keys()];
  const network = loadNetwork(
    'unet',
    loader.placement.of('unet'),
    joinWeights(await loader.weights('unet'), loader.besideUNet),
    [
      buildUNet2DCondition(config),
      ...nets.map((net, i) => CONTROL.loaded.buildControlNet(net.config, CONTROL.loaded.controlPath(i))),
    ],
    {
      dtype: loader.dtypeOf('unet'),
      counts: (tensor) => !paths.some((path) => tensor.startsWith(`${path}.`)),
    },
  );
  loader.networks.set('unet', network);
  return { config, denoiser: loader.keep(new Denoiser(network, config)) };
}

/** PixArt's transformer. */
export async function loadTransformer(
  loader: ComponentLoader,
): Promise<{ readonly config: PixArtTransformerConfig; readonly denoiser: Denoiser }> {
  const folder = 'transformer';
  const { buildPixArtTransformer, parsePixArtTransformerConfig } = await PIXART.load();
  const config = await loader.json(`${folder}/config.json`, parsePixArtTransformerConfig);
  const network = await loader.network(folder, [buildPixArtTransformer(config)], loader.dtypeOf('unet'));
  return { config, denoiser: loader.keep(new Denoiser(network, config)) };
}
