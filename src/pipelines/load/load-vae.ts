/** @file Loads the VAE of a pipeline. */

import { parseAutoencoderKLConfig } from '../../loaders/configs/autoencoder-kl.ts';
import type { AutoencoderTinyConfig } from '../../loaders/configs/autoencoder-tiny.ts';
import type { PipelineClass } from '../../loaders/configs/model-index.ts';
import { autoencoderKLAliases } from '../../models/autoencoder-kl.ts';
import { TINY_VAE } from '../image/tiny-vae-part.ts';
import { Vae, vaeGraphs, type VaeConfig } from '../image/vae.ts';
import { later } from '../../later.ts';
import type { ComponentLoader } from './component-loader.ts';

/** Pipelines that decode in f32 where the VAE's `force_upcast` says so; diffusers' others do not look at it. */
const UPCASTING: readonly PipelineClass[] = ['StableDiffusionXLPipeline', 'StableDiffusionUpscalePipeline'];

const loadUpcast = () => later('VAEs in f16 and f32', () => import('./vae-upcast.ts'));

async function loadTinyConfig(loader: ComponentLoader): Promise<AutoencoderTinyConfig> {
  const { parseAutoencoderTinyConfig } = await TINY_VAE.load();
  return loader.json('vae/config.json', parseAutoencoderTinyConfig);
}

/** An AutoencoderKL or an AutoencoderTiny. */
export async function loadVae(
  loader: ComponentLoader,
  pipeline: PipelineClass,
  className: VaeConfig['className'],
  scalingFactor?: number,
): Promise<Vae> {
  const kind: VaeConfig =
    className === 'AutoencoderTiny'
      ? { className, config: await loadTinyConfig(loader) }
      : {
          className,
          config: {
            ...(await loader.json('vae/config.json', parseAutoencoderKLConfig)),
            ...(scalingFactor !== undefined && { scalingFactor }),
          },
        };
  const { vaeUpcast } = loader.options;
  const graphs = vaeGraphs(kind);
  const network = await loader.network(
    'vae',
    Object.values(graphs),
    loader.dtypeOf('vae'),
    kind.className === 'AutoencoderKL'
      ? {
          aliases: autoencoderKLAliases,
          upcast: kind.config.forceUpcast && UPCASTING.includes(pipeline) && vaeUpcast !== 'overflow',
        }
      : {},
  );
  const splits = vaeUpcast === 'overflow' && kind.className === 'AutoencoderKL' && network.dtype === 'f16';
  return loader.keep(
    new Vae(network, kind, splits ? (await loadUpcast()).widenVae(network, graphs) : graphs),
  );
}
