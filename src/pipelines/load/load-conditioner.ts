/** @file Loads the text side of a pipeline: tokenizers and text encoders. */

import { ConfigError } from '../../errors.ts';
import { parseCLIPTextConfig } from '../../loaders/configs/clip-text.ts';
import type { ModelIndex } from '../../loaders/configs/model-index.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { later } from '../../later.ts';
import { buildCLIPText, clipTextAliases } from '../../models/clip-text.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import { AddedVectors } from '../prompt/added-vectors.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import { isPixArt, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { StableDiffusionConditioner } from '../families/stable-diffusion.ts';
import { StableDiffusionXLConditioner } from '../families/stable-diffusion-xl.ts';
import { PromptEncoder } from '../prompt/text-encoder.ts';
import type { Vae } from '../image/vae.ts';
import type { ComponentLoader } from './component-loader.ts';

async function loadTextEncoder(
  loader: ComponentLoader,
  suffix: '' | '_2',
  projection: boolean,
): Promise<PromptEncoder> {
  const folder = `text_encoder${suffix}` as const;
  const config = await loader.json(`${folder}/config.json`, parseCLIPTextConfig);
  const tokenizer = await Tokenizer.fromPretrained(
    loader.source,
    `tokenizer${suffix}`,
    loader.options.signal,
  );
  const added = new AddedVectors();
  const graphs = [buildCLIPText(config, { projection })];
  const dtype = loader.dtypeOf('textEncoder');
  const network = await loader.network(folder, graphs, dtype, { aliases: clipTextAliases, added });
  return loader.keep(new PromptEncoder({ network, config, tokenizer, projection, added }));
}

/** The text side of a pipeline. */
export async function loadConditioner(
  loader: ComponentLoader,
  index: ModelIndex,
  unet: DenoiserConfig,
  vae: Vae,
): Promise<Conditioner> {
  if (isPixArt(unet)) {
    const { loadPixArtConditioner } = await later('PixArt', () => import('./load-pixart-text.ts'));
    return loadPixArtConditioner(loader, unet, vae);
  }
  if (index.className !== 'StableDiffusionXLPipeline')
    return new StableDiffusionConditioner(await loadTextEncoder(loader, '', false));
  const first = index.components.has('text_encoder') ? [await loadTextEncoder(loader, '', false)] : [];
  const second = await loadTextEncoder(loader, '_2', true);
  const conditioner = new StableDiffusionXLConditioner([...first, second], index);
  checkMicroConditions(unet, conditioner.microConditions, second.config.projectionDim, loader.source.name);
  return conditioner;
}

/** Throws ConfigError unless a UNet takes the pooled text and as many numbers as its pipeline has for it. */
function checkMicroConditions(
  { additionEmbed }: UNet2DConditionConfig,
  microConditions: number,
  pooledChannels: number,
  model: string,
): void {
  const given = pooledChannels + microConditions * (additionEmbed?.timeEmbedDim ?? 0);
  if (additionEmbed?.inputDim === given) return;
  throw new ConfigError(
    `does not fit: pooled text of ${pooledChannels} and ${microConditions} numbers are to go into it`,
    {
      file: `${model}/unet/config.json`,
      field: 'projection_class_embeddings_input_dim',
      remedy:
        'Use the parts of one model; refiners need requires_aesthetics_score in model_index.json, other models must not have it',
    },
  );
}
