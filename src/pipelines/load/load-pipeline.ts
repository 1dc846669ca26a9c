/** @file Loads the components of a pipeline's folder onto their backends. */

import { ConfigError } from '../../errors.ts';
import { later } from '../../later.ts';
import { parseModelIndex, type ModelIndex, type PipelineClass } from '../../loaders/configs/model-index.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import { forStableDiffusion, schedulerFromConfig } from '../../schedulers/load.ts';
import type { Scheduler } from '../../schedulers/scheduler.ts';
import { CONTROL } from '../control/control-part.ts';
import { refuseControlNets } from '../control/refuse-controlnets.ts';
import { latentGranularity, latentModelOf, isPixArt } from '../denoise/denoiser-config.ts';
import { parseRecommendedSettings, type RecommendedSettings } from './recommended-settings.ts';
import type { Component } from '../memory/device-residency.ts';
import type { MemoryBudget } from '../memory/memory-option.ts';
import type { Residency } from '../memory/residency.ts';
import { ESTIMATE } from '../network.ts';
import { ComponentLoader } from './component-loader.ts';
import type { LoadedPipeline, LoadPipelineOptions } from './loaded-pipeline.ts';
import type { Placement } from './placement.ts';
import { loadConditioner } from './load-conditioner.ts';
import { loadControlNets, loadTransformer, loadUNet } from './load-denoiser.ts';
import { loadVae } from './load-vae.ts';

/** diffusers sets it whatever the upscaler's VAE says; early files of it lack the field. */
const UPSCALER_SCALING_FACTOR = 0.08333;

async function readIndex(loader: ComponentLoader): Promise<ModelIndex> {
  return loader.json('model_index.json', parseModelIndex);
}

async function readRecommended(loader: ComponentLoader): Promise<RecommendedSettings> {
  const path = 'calotype.json';
  return (await loader.source.exists(path, loader.options.signal))
    ? loader.json(path, parseRecommendedSettings)
    : {};
}

/** A scheduler of the folder, with the settings that diffusers' pipeline class forces on it. */
async function readScheduler(
  loader: ComponentLoader,
  className: PipelineClass,
  folder: 'scheduler' | 'low_res_scheduler',
): Promise<Scheduler> {
  const { json, file } = await loader.json(
    `${folder}/scheduler_config.json`,
    (content: unknown, context) => ({ json: content, file: context.file }),
  );
  const isStableDiffusion = className === 'StableDiffusionPipeline';
  try {
    return await schedulerFromConfig(isStableDiffusion ? await forStableDiffusion(json, file) : json, file);
  } catch (error) {
    if (folder !== 'scheduler') throw error;
    const part = await later('other schedulers', () => import('../../schedulers/refused-scheduler.ts'));
    return part.refusedScheduler(json, isStableDiffusion, error, loader.notices);
  }
}

/** What keeps a pipeline within a budget of memory: most do without. */
async function openResidency(
  budget: MemoryBudget,
  placement: Placement,
  components: readonly Component[],
  notices: string[],
): Promise<Residency> {
  const part = await later('budgets of memory', () => import('../memory/residency.ts'));
  await ESTIMATE.load();
  for (const backend of placement.devices.keys()) await backend.measureMemory?.();
  return new part.Residency(budget, placement, components, (notice) => void notices.push(notice));
}

/**
 * Loads a pipeline. Only headers and configurations are read; weights follow when the first call needs them.
 * @throws NotFoundError, FileFormatError or ConfigError naming the file and field
 */
export async function loadPipeline(
  source: ModelSource,
  placement: Placement,
  options: LoadPipelineOptions,
): Promise<LoadedPipeline> {
  const loader = new ComponentLoader(source, placement, options);
  try {
    const index = await readIndex(loader);
    const { className } = index;
    const scheduler = await readScheduler(loader, className, 'scheduler');
    const nets = await loadControlNets(loader, index);
    if (className === 'PixArtAlphaPipeline') refuseControlNets(nets, source.name);
    const { config, denoiser } =
      className === 'PixArtAlphaPipeline'
        ? await loadTransformer(loader)
        : await loadUNet(loader, className, nets);
    const unet = latentModelOf(config);
    const lowRes = index.components.has('low_res_scheduler')
      ? {
          scheduler: await readScheduler(loader, className, 'low_res_scheduler'),
          maxNoiseLevel: Math.min(index.maxNoiseLevel, (unet.numClassEmbeds ?? 1) - 1),
        }
      : undefined;
    const recommended = await readRecommended(loader);
    const vae = await loadVae(
      loader,
      className,
      index.components.get('vae') === 'AutoencoderTiny' ? 'AutoencoderTiny' : 'AutoencoderKL',
      className === 'StableDiffusionUpscalePipeline' ? UPSCALER_SCALING_FACTOR : undefined,
    );
    const { latentChannels } = vae.kind.config;
    if (latentChannels !== unet.outChannels)
      throw new ConfigError(
        `latents of ${latentChannels} channels are not the denoiser's ${unet.outChannels}`,
        {
          file: `${source.name}/vae/config.json`,
          field: 'latent_channels',
          remedy: 'Use a VAE that was made for models of this kind',
        },
      );
    const conditioner = await loadConditioner(loader, index, config, vae);
    for (const net of nets) CONTROL.loaded.checkFitsVae(net, vae.scaleFactor);
    const { notices, networks, besideUNet, dispose } = loader;
    const components: readonly Component[] = [...conditioner.components, denoiser, vae];
    const residency = options.memory && (await openResidency(options.memory, placement, components, notices));
    const controlnets = nets.map(({ config }) => config);
    return {
      className,
      placement,
      unet,
      unetConfig: isPixArt(config) ? undefined : config,
      granularity: latentGranularity(config),
      denoiser,
      besideUNet,
      imageEncoderDType: loader.dtypeOf('textEncoder'),
      controlnets,
      conditioner,
      vae,
      scheduler,
      lowRes,
      recommended,
      residency,
      networks,
      notices,
      dispose,
    };
  } catch (error) {
    loader.dispose();
    throw error;
  }
}
