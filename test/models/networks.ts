/** @file Any supported config.json as the graphs of its network. */

import * as v from 'valibot';
import type { Graph } from '../../src/graph/graph.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../../src/loaders/configs/autoencoder-tiny.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parsePixArtTransformerConfig } from '../../src/loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../src/loaders/configs/t5-encoder.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import {
  autoencoderKLAliases,
  buildAutoencoderKLDecoder,
  buildAutoencoderKLEncoder,
} from '../../src/models/autoencoder-kl.ts';
import {
  buildAutoencoderTinyDecoder,
  buildAutoencoderTinyEncoder,
} from '../../src/models/autoencoder-tiny.ts';
import { buildCLIPText, clipTextAliases } from '../../src/models/clip-text.ts';
import { buildPixArtTransformer } from '../../src/models/pixart-transformer.ts';
import { buildT5Encoder, t5EncoderAliases } from '../../src/models/t5-encoder.ts';
import { buildUNet2DCondition } from '../../src/models/unet2d-condition.ts';

/** A network's graphs, and the other names of its tensors. */
export interface Networks {
  readonly graphs: readonly Graph[];
  readonly aliases: (name: string) => readonly string[];
}

const classSchema = v.union([
  v.pipe(
    v.object({ _class_name: v.string() }),
    v.transform((config) => config._class_name),
  ),
  v.pipe(
    v.object({ architectures: v.tuple([v.string()]) }),
    v.transform((config) => config.architectures[0]),
  ),
]);

/** The graphs of the network that a config.json describes. */
export function networksOf(json: unknown): Networks {
  const className = v.parse(classSchema, json);
  const context = { file: 'config.json' };
  const noAliases = (): string[] => [];
  switch (className) {
    case 'CLIPTextModel':
    case 'CLIPTextModelWithProjection': {
      const projection = className === 'CLIPTextModelWithProjection';
      return {
        graphs: [buildCLIPText(parseCLIPTextConfig(json, context), { projection })],
        aliases: clipTextAliases,
      };
    }
    case 'T5EncoderModel':
      return { graphs: [buildT5Encoder(parseT5EncoderConfig(json, context))], aliases: t5EncoderAliases };
    case 'PixArtTransformer2DModel':
    case 'Transformer2DModel':
      return {
        graphs: [buildPixArtTransformer(parsePixArtTransformerConfig(json, context))],
        aliases: noAliases,
      };
    case 'UNet2DConditionModel':
      return {
        graphs: [buildUNet2DCondition(parseUNet2DConditionConfig(json, context))],
        aliases: noAliases,
      };
    case 'AutoencoderKL': {
      const config = parseAutoencoderKLConfig(json, context);
      return {
        graphs: [buildAutoencoderKLEncoder(config), buildAutoencoderKLDecoder(config)],
        aliases: autoencoderKLAliases,
      };
    }
    case 'AutoencoderTiny': {
      const config = parseAutoencoderTinyConfig(json, context);
      return {
        graphs: [buildAutoencoderTinyEncoder(config), buildAutoencoderTinyDecoder(config)],
        aliases: noAliases,
      };
    }
    default:
      throw new RangeError(`no network for ${className}`);
  }
}
