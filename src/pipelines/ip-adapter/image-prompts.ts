/** @file The image prompts of a call: options read and checked, pictures encoded, and what the UNet's graph is given. */

import type { CalotypeImage } from '../../image/image.ts';
import type { IpAdapterConfig } from '../../loaders/ip-adapter.ts';
import { readsEmbedding } from '../../models/ip-adapter.ts';
import { stack } from '../prompt/conditioning.ts';
import { forRows, type GuidanceRow } from '../guidance/guidance-rows.ts';
import { readPromptPictures } from '../options/image-options.ts';
import {
  IMAGE_SCALES,
  imageEmbedsInput,
  imageZerosInput,
  type ImagePromptStructure,
} from './image-prompt-graph.ts';
import type { ProgramOptions } from '../network.ts';
import type { Tensor } from '../options/call-options.ts';
import { checkTensor, refuse } from '../options/checks.ts';
import type { EncodedPart, ImageEncoder } from './image-encoder.ts';
import { IMAGE_PROMPT_OPTIONS, type ImagePromptOptions } from './image-prompt-options.ts';

/** The adapters that a call works with. */
export interface PromptedAdapters {
  readonly adapters: readonly IpAdapterConfig[];
  readonly encoder: ImageEncoder | undefined;
  /** For each adapter, how much it adds to each transformer block. */
  readonly scales: readonly (readonly number[])[];
}

/** The image prompts of a call. */
export interface ImagePrompts {
  /** What they make of the graph, one for each adapter. */
  readonly structures: readonly ImagePromptStructure[];
  /** Encodes the pictures: the inputs of `imagePrompts`. Throws OptionError for embeddings of other guidance. */
  inputs(
    blocks: readonly GuidanceRow[],
    images: number,
    programs: ProgramOptions,
  ): Promise<Record<string, Float32Array | Int32Array>>;
}

/** An adapter's pictures with and without the prompt, those of one call end to end. */
interface Encoded {
  readonly positive: Float32Array;
  readonly negative: Float32Array | undefined;
}

/** One adapter's part of a call. */
interface Prompt {
  readonly structure: ImagePromptStructure;
  encode(guided: boolean, programs: ProgramOptions): Promise<Encoded>;
}

/**
 * The image prompts of a call.
 * @throws OptionError for adapters without prompts, and prompts of another form
 */
export function readImagePrompts(
  { ipAdapterImage, ipAdapterImageEmbeds }: ImagePromptOptions,
  { adapters, encoder, scales }: PromptedAdapters,
): ImagePrompts {
  const [image, embeds] = IMAGE_PROMPT_OPTIONS;
  const given = ipAdapterImage === undefined ? embeds : image;
  const none = ipAdapterImage === undefined && ipAdapterImageEmbeds === undefined;
  if (none)
    refuse(
      image,
      'an IP-Adapter is loaded, and it has no picture',
      'Give ipAdapterImage or ipAdapterImageEmbeds, or call unloadIpAdapter',
    );
  if (ipAdapterImage !== undefined && ipAdapterImageEmbeds !== undefined)
    refuse(embeds, 'it was given together with ipAdapterImage', 'Give one of the two');
  const list: readonly unknown[] =
    ipAdapterImageEmbeds ?? (Array.isArray(ipAdapterImage) ? ipAdapterImage : [ipAdapterImage]);
  if (!Array.isArray(list) || list.length !== adapters.length)
    refuse(
      given,
      `it has ${Array.isArray(list) ? list.length : 'no'} entries for ${adapters.length} IP-Adapters`,
      'Give a list with an entry for each; several pictures for one adapter are a list in that list',
    );
  const prompts = adapters.map((adapter, i) =>
    ipAdapterImageEmbeds
      ? embedsPrompt(adapter, ipAdapterImageEmbeds[i])
      : picturesPrompt(adapter, readPromptPictures(list[i]), encoder),
  );
  return {
    structures: prompts.map(({ structure }) => structure),
    async inputs(blocks, images, programs) {
      const entries: [string, Float32Array | Int32Array][] = [];
      for (const [i, { encode, structure }] of prompts.entries()) {
        const { positive, negative } = await encode(blocks.includes('negative'), programs);
        const rows = forRows(
          blocks,
          images,
          (block) => (block === 'negative' ? negative : positive) ?? positive,
        );
        entries.push([imageEmbedsInput(i), stack(rows)]);
        entries.push([imageZerosInput(i), new Int32Array(rows.length * structure.images)]);
      }
      const weights = Float32Array.from(scales.flat());
      return {
        ...Object.fromEntries(entries),
        [IMAGE_SCALES]: stack(forRows(blocks, images, () => weights)),
      };
    },
  };
}

function picturesPrompt(
  adapter: IpAdapterConfig,
  pictures: readonly CalotypeImage[],
  encoder: ImageEncoder | undefined,
): Prompt {
  const field = 'ipAdapterImage';
  if (!encoder)
    return refuse(
      field,
      'the IP-Adapter was loaded without its image encoder',
      'Load it from a folder or repository with image_encoder in it, or give ipAdapterImageEmbeds',
    );
  const part: EncodedPart = readsEmbedding(adapter) ? 'image_embeds' : 'penultimate_hidden_state';
  const { tokens, channels } = encoder.sizesOf(part);
  if (channels !== adapter.projection.embedding)
    refuse(
      field,
      `the image encoder gives ${channels} numbers, and the IP-Adapter reads ${adapter.projection.embedding}`,
      'Load the adapter with the image encoder that it was made for (imageEncoderFolder)',
    );
  return {
    structure: { adapter, images: pictures.length, sequence: tokens },
    async encode(guided, programs) {
      const encoded: Float32Array[] = [];
      for (const picture of pictures) encoded.push(await encoder.encode(picture, part, programs));
      const positive = stack(encoded);
      if (!guided) return { positive, negative: undefined };
      // As in diffusers: no embedding, or the tokens of no picture.
      if (part === 'image_embeds') return { positive, negative: new Float32Array(positive.length) };
      const none = await encoder.encode(undefined, part, programs);
      return { positive, negative: stack(pictures.map(() => none)) };
    },
  };
}

function embedsPrompt(adapter: IpAdapterConfig, tensor: Tensor): Prompt {
  const field = 'ipAdapterImageEmbeds';
  const { embedding } = adapter.projection;
  const axes = readsEmbedding(adapter) ? 3 : 4;
  const forms = `[2, pictures, ${axes === 4 ? 'tokens, ' : ''}${embedding}]`;
  const { shape, data } = tensor;
  checkTensor(field, tensor);
  const [halves, images] = shape;
  if (shape.length !== axes || shape[axes - 1] !== embedding || data.length === 0)
    refuse(
      field,
      `its shape is [${shape.join(', ')}]`,
      `Give embeddings of the shape ${forms}, [1, ...] without guidance`,
    );
  return {
    structure: { adapter, images, sequence: axes === 4 ? shape[2] : 0 },
    encode(guided) {
      const wanted = guided ? 2 : 1;
      if (halves !== wanted)
        refuse(
          field,
          `its shape is [${shape.join(', ')}], with ${halves} in place of ${wanted} at the front`,
          guided ? `Give ${forms}, what to steer away from first` : 'Without guidance, give [1, ...]',
        );
      const half = data.length / wanted;
      return Promise.resolve({
        positive: data.subarray(data.length - half),
        negative: guided ? data.subarray(0, half) : undefined,
      });
    },
  };
}
