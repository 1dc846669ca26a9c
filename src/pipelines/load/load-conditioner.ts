/** @file Loads the text side of a pipeline: tokenizers and text encoders. */

import { ConfigError } from '../../errors.ts';
import { parseCLIPTextConfig } from '../../loaders/configs/clip-text.ts';
import type { ModelIndex } from '../../loaders/configs/model-index.ts';
import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../loaders/configs/t5-encoder.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { buildCLIPText, clipTextAliases } from '../../models/clip-text.ts';
import { buildT5Encoder, t5EncoderAliases } from '../../models/t5-encoder.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import { AddedVectors } from '../prompt/added-vectors.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import { isPixArt, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { loadNetwork } from './load-network.ts';
import { StableDiffusionConditioner } from '../families/stable-diffusion.ts';
import { StableDiffusionXLConditioner } from '../families/stable-diffusion-xl.ts';
import { T5TextEncoder } from '../prompt/t5-text-encoder.ts';
import { PixArtAlphaConditioner } from '../families/pixart-alpha.ts';
import { PromptEncoder } from '../prompt/text-encoder.ts';
import type { Vae } from '../image/vae.ts';
import type { ComponentLoader } from './component-loader.ts';

async function loadTextEncoder(
  loader: ComponentLoader,
  suffix: '' | '_2',
  projection: boolean,
): Promise<PromptEncoder> {
  const folder = `text_encoder${suffix}`;
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

async function loadT5TextEncoder(loader: ComponentLoader): Promise<T5TextEncoder> {
  const folder = 'text_encoder';
  const config = await loader.json(`${folder}/config.json`, parseT5EncoderConfig);
  const tokenizer = await Tokenizer.fromPretrained(loader.source, 'tokenizer', loader.options.signal);
  const network = loadNetwork(
    folder,
    loader.backend,
    await loader.weights(folder),
    [buildT5Encoder(config)],
    {
      dtype: loader.dtypeOf('textEncoder'),
      arithmetic: 'f32',
      aliases: t5EncoderAliases,
    },
  );
  return loader.keep(new T5TextEncoder(network, config, tokenizer));
}

/** The text side of a pipeline. */
export async function loadConditioner(
  loader: ComponentLoader,
  index: ModelIndex,
  unet: DenoiserConfig,
  vae: Vae,
): Promise<Conditioner> {
  if (isPixArt(unet)) return loadPixArtConditioner(loader, unet, vae);
  if (index.className !== 'StableDiffusionXLPipeline')
    return new StableDiffusionConditioner(await loadTextEncoder(loader, '', false));
  const first = index.components.has('text_encoder') ? [await loadTextEncoder(loader, '', false)] : [];
  const second = await loadTextEncoder(loader, '_2', true);
  const conditioner = new StableDiffusionXLConditioner([...first, second], index);
  checkMicroConditions(unet, conditioner.microConditions, second.config.projectionDim, loader.source.name);
  return conditioner;
}

async function loadPixArtConditioner(
  loader: ComponentLoader,
  config: PixArtTransformerConfig,
  vae: Vae,
): Promise<Conditioner> {
  const encoder = await loadT5TextEncoder(loader);
  const { dModel } = encoder.config;
  if (dModel !== config.crossAttentionDim)
    throw new ConfigError(
      `hidden states of ${dModel} channels are not the transformer's ${config.crossAttentionDim}`,
      {
        file: `${loader.source.name}/text_encoder/config.json`,
        field: 'd_model',
        remedy: 'Use the parts of one model',
      },
    );
  return new PixArtAlphaConditioner(encoder, config, vae.scaleFactor);
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
