/** @file Loads the text side of PixArt: T5 with its tokenizer. */

import { ConfigError } from '../../errors.ts';
import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../loaders/configs/t5-encoder.ts';
import { buildT5Encoder, t5EncoderAliases } from '../../models/t5-encoder.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import type { Conditioner } from '../prompt/conditioning.ts';
import { PixArtAlphaConditioner } from '../families/pixart-alpha.ts';
import { T5TextEncoder } from '../prompt/t5-text-encoder.ts';
import type { Vae } from '../image/vae.ts';
import { loadNetwork } from './load-network.ts';
import type { ComponentLoader } from './component-loader.ts';

async function loadT5TextEncoder(loader: ComponentLoader): Promise<T5TextEncoder> {
  const folder = 'text_encoder';
  const config = await loader.json(`${folder}/config.json`, parseT5EncoderConfig);
  const tokenizer = await Tokenizer.fromPretrained(loader.source, 'tokenizer', loader.options.signal);
  const network = loadNetwork(
    folder,
    loader.placement.of('textEncoder'),
    await loader.weights(folder),
    [buildT5Encoder(config)],
    {
      dtype: loader.dtypeOf('textEncoder'),
      arithmetic: 'f32',
      aliases: t5EncoderAliases,
    },
  );
  loader.networks.set(folder, network);
  return loader.keep(new T5TextEncoder(network, config, tokenizer));
}

/** The text side of a pipeline with PixArt's transformer. Throws ConfigError where the two do not fit. */
export async function loadPixArtConditioner(
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
