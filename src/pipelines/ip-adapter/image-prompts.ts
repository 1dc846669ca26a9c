/** @file The image prompts of a call: options read and checked, pictures encoded, and what the UNet's graph is given. */

import type { CalotypeImage } from '../../image/image.ts';
import type { IpAdapterConfig } from '../../loaders/ip-adapter.ts';
import type { Size } from '../../image/resize.ts';
import { readsEmbedding } from '../../models/ip-adapter.ts';
import type { TransformerBlock } from '../../models/unet-layers.ts';
import { stack } from '../prompt/conditioning.ts';
import { forRows, type GuidanceRow } from '../guidance/guidance-rows.ts';
import { readPromptPictures } from '../options/added-pictures.ts';
import {
  IMAGE_SCALES,
  imageEmbedsInput,
  imageMaskInput,
  imageZerosInput,
  type ImagePromptStructure,
} from './image-prompt-graph.ts';
import type { ComponentDemands } from '../../plan/residency.ts';
import type { ProgramOptions } from '../network.ts';
import type { Tensor } from '../options/call-options.ts';
import { checkTensor, refuse } from '../options/checks.ts';
import type { EncodedPart, ImageEncoder } from './image-encoder.ts';
import { readPromptMasks, type PromptMasks } from './image-masks.ts';
import { IMAGE_PROMPT_OPTIONS, type ImagePromptOptions } from './image-prompt-options.ts';

/** The adapters that a call works with. */
export interface PromptedAdapters {
  readonly adapters: readonly IpAdapterConfig[];
  readonly encoder: ImageEncoder | undefined;
  /** For each adapter, how much it adds to each transformer block. */
  readonly scales: readonly (readonly number[])[];
  /** The blocks in this order. */
  readonly blocks: readonly TransformerBlock[];
}

/** The image prompts of a call. */
export interface ImagePrompts {
  /** What they make of the graph. */
  readonly structures: readonly ImagePromptStructure[];
  /** What encoding them takes; empty where embeddings are given. */
  demands(): ComponentDemands;
  /** Encodes the pictures: the inputs of `imagePrompts`. Throws OptionError for embeddings of other guidance. */
  inputs(
    blocks: readonly GuidanceRow[],
    images: number,
    latents: Size,
    programs: ProgramOptions,
  ): Promise<Record<string, Float32Array | Int32Array>>;
}

/** An adapter's pictures with and without the prompt, those of one call end to end. */
interface Encoded {
  readonly positive: Float32Array;
  readonly negative: Float32Array | undefined;
}

/** An adapter, and which of the pipeline's it is. */
type PlacedAdapter = Pick<ImagePromptStructure, 'adapter' | 'index'>;

/** One adapter's part of a call. */
interface Prompt {
  readonly structure: Omit<ImagePromptStructure, 'masked'>;
  /** What is read of the encoder; absent where embeddings are given. */
  readonly part?: EncodedPart;
  encode(guided: boolean, programs: ProgramOptions): Promise<Encoded>;
}

/**
 * The image prompts of a call; undefined where no adapter takes part.
 * @throws OptionError for adapters without prompts, and prompts of another form
 */
export function readImagePrompts(
  { ipAdapterImage, ipAdapterImageEmbeds, ipAdapterMasks }: ImagePromptOptions,
  { adapters, encoder, scales, blocks: transformers }: PromptedAdapters,
  size: Size,
): ImagePrompts | undefined {
  const [image, embeds] = IMAGE_PROMPT_OPTIONS;
  const given = ipAdapterImage === undefined ? embeds : image;
  const none = ipAdapterImage === undefined && ipAdapterImageEmbeds === undefined;
  if (none)
    refuse(
      image,
      'an IP-Adapter is loaded, and it has no picture',
      'Give ipAdapterImage or ipAdapterImageEmbeds, [null] for a call without it, or call unloadIpAdapter',
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
  const prompts = adapters.flatMap((adapter, index): Prompt[] => {
    if (ipAdapterImageEmbeds) return [embedsPrompt({ adapter, index }, ipAdapterImageEmbeds[index])];
    return list[index] === null
      ? []
      : [picturesPrompt({ adapter, index }, readPromptPictures(list[index]), encoder)];
  });
  if (prompts.length === 0) return undefined;
  const masks = readMasks(ipAdapterMasks, prompts, size);
  // Where each picture has its own mask, each is attended to by itself.
  const parts = prompts.flatMap(({ structure }, prompt) =>
    masks
      ? Array.from({ length: structure.images }, (_, picture) => ({ prompt, picture, images: 1 }))
      : [{ prompt, picture: 0, images: structure.images }],
  );
  const scalesOf = (prompt: number): readonly number[] => scales[prompts[prompt].structure.index];
  return {
    structures: parts.map(({ prompt, images }) => ({
      ...prompts[prompt].structure,
      images,
      masked: masks !== undefined,
    })),
    demands() {
      const read = new Set(prompts.flatMap(({ part }) => part ?? []));
      if (!encoder || read.size === 0) return new Map();
      return new Map([[encoder.network.name, [...read].map((part) => encoder.demand(part))]]);
    },
    async inputs(blocks, images, latents, programs) {
      const entries: [string, Float32Array | Int32Array][] = [];
      const encoded: Encoded[] = [];
      for (const { encode } of prompts) encoded.push(await encode(blocks.includes('negative'), programs));
      for (const [i, part] of parts.entries()) {
        const { positive, negative = positive } = encoded[part.prompt];
        const length = positive.length / prompts[part.prompt].structure.images;
        const own = (pictures: Float32Array): Float32Array =>
          pictures.subarray(part.picture * length, (part.picture + part.images) * length);
        const rows = forRows(blocks, images, (block) => own(block === 'negative' ? negative : positive));
        entries.push([imageEmbedsInput(i), stack(rows)]);
        entries.push([imageZerosInput(i), new Int32Array(rows.length * part.images)]);
        if (masks)
          transformers.forEach(({ path, level }, block) => {
            const side = (whole: number): number => Math.ceil(whole / 2 ** level);
            const queries = side(latents.height) * side(latents.width);
            const scale = scalesOf(part.prompt)[block];
            const weights = masks[part.prompt].weights(part.picture, queries).map((weight) => weight * scale);
            entries.push([imageMaskInput(i, path), stack(forRows(blocks, images, () => weights))]);
          });
      }
      const weights = Float32Array.from(parts.flatMap(({ prompt }) => scalesOf(prompt)));
      return {
        ...Object.fromEntries(entries),
        [IMAGE_SCALES]: stack(forRows(blocks, images, () => weights)),
      };
    },
  };
}

/** The masks of all adapters, or undefined if none were given. */
function readMasks(
  masks: ImagePromptOptions['ipAdapterMasks'],
  prompts: readonly Prompt[],
  size: Size,
): readonly PromptMasks[] | undefined {
  if (masks === undefined) return undefined;
  const field = 'ipAdapterMasks';
  const isList: boolean = Array.isArray(masks);
  if (!isList || masks.length !== prompts.length)
    refuse(
      field,
      `it has ${isList ? masks.length : 'no'} entries for ${prompts.length} IP-Adapters`,
      'Give a list with an entry for each; masks of several pictures are a list in that list',
    );
  return prompts.map(({ structure: { images } }, i) => {
    const own = readPromptMasks(masks[i], size);
    if (own.count !== images)
      refuse(field, `it has ${own.count} masks for ${images} pictures`, 'Give a mask for each picture');
    return own;
  });
}

function picturesPrompt(
  { adapter, index }: PlacedAdapter,
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
    structure: { adapter, index, images: pictures.length, sequence: tokens },
    part,
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

function embedsPrompt({ adapter, index }: PlacedAdapter, tensor: Tensor): Prompt {
  const field = 'ipAdapterImageEmbeds';
  const { embedding } = adapter.projection;
  const axes = readsEmbedding(adapter) ? 3 : 4;
  const forms = `[2, pictures, ${axes === 4 ? 'tokens, ' : ''}${embedding}]`;
  checkTensor(field, tensor);
  const { shape, data } = tensor;
  const [halves, images] = shape;
  if (shape.length !== axes || shape[axes - 1] !== embedding || data.length === 0)
    refuse(
      field,
      `its shape is [${shape.join(', ')}]`,
      `Give embeddings of the shape ${forms}, [1, ...] without guidance`,
    );
  return {
    structure: { adapter, index, images, sequence: axes === 4 ? shape[2] : 0 },
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
