/** @file Reads a model's configurations and reports on each of its networks, without weights or a device. */

import type { Graph } from '../../graph/graph.ts';
import { parseAutoencoderKLConfig } from '../../loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../../loaders/configs/autoencoder-tiny.ts';
import { parseCLIPTextConfig } from '../../loaders/configs/clip-text.ts';
import { parseModelIndex, type ModelIndex } from '../../loaders/configs/model-index.ts';
import { parsePixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { parseT5EncoderConfig } from '../../loaders/configs/t5-encoder.ts';
import { parseUNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { readJson, type ModelSource } from '../../loaders/model-source.ts';
import { buildAutoencoderKLDecoder } from '../../models/autoencoder-kl.ts';
import { buildAutoencoderTinyDecoder } from '../../models/autoencoder-tiny.ts';
import { buildCLIPText } from '../../models/clip-text.ts';
import { buildT5Encoder } from '../../models/t5-encoder.ts';
import { selectOutputs } from '../../models/select-outputs.ts';
import { withF32Arithmetic, type Target } from '../../plan/target.ts';
import { CONTROL } from '../control/control-part.ts';
import { isPixArt, latentModelOf, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { inspectDenoiser, inspectNetwork, type NetworkReport } from './inspect.ts';
import type { ComponentName } from '../load/placement.ts';
import { readControlNets } from './read-controlnets.ts';
import { MAX_SEQUENCE_LENGTH } from '../families/pixart-alpha.ts';
import { PIXART } from '../families/pixart-part.ts';

/** What a model is made of. */
export interface ModelReport {
  readonly name: string;
  /** Pipeline class, or the network's for a folder that holds a UNet or a transformer alone. */
  readonly className: string;
  /** Of the picture that was planned for, in pixels. */
  readonly width: number;
  readonly height: number;
  readonly networks: readonly NetworkReport[];
  readonly notices: readonly string[];
}

/** What to plan for. */
export interface InspectOptions {
  readonly target: Target;
  /** Targets of components that are elsewhere; the second text encoder goes with the first unless it is named. */
  readonly componentTargets?: { readonly [Component in ComponentName]?: Target };
  /** Pixels; default the size the model was trained at. */
  readonly height?: number;
  readonly width?: number;
  /** Folders with the config.json of ControlNets that run with the UNet; default none. */
  readonly controlnets?: readonly ModelSource[];
  /** Steps of a schedule, for the tables. Default 50. */
  readonly steps?: number;
  readonly signal?: AbortSignal;
}

/** Parses a configuration of the model. */
type Read = <T>(
  path: string,
  parse: (json: unknown, context: { file: string; onNotice: (notice: string) => void }) => T,
) => Promise<T>;

/** Reports on a pipeline's folder, or on one that has a UNet's or transformer's config.json only (no weights are needed). */
export async function inspectModel(source: ModelSource, options: InspectOptions): Promise<ModelReport> {
  const notices: string[] = [];
  const read: Read = async (path, parse) =>
    parse(await readJson(source, path, options.signal), {
      file: `${source.name}/${path}`,
      onNotice: (notice) => notices.push(notice),
    });
  const index: ModelIndex | undefined = (await source.exists('model_index.json', options.signal))
    ? await read('model_index.json', parseModelIndex)
    : undefined;
  const isTransformer = index
    ? index.components.has('transformer')
    : await source.exists('transformer/config.json', options.signal);
  const config: DenoiserConfig = isTransformer
    ? await read('transformer/config.json', parsePixArtTransformerConfig)
    : await read('unet/config.json', parseUNet2DConditionConfig);
  if (isPixArt(config)) await PIXART.load();
  const nets = await readControlNets(options.controlnets ?? [], config, source.name, options.signal);
  if (nets.length > 0) await CONTROL.load();
  const encoders = await inspectTextEncoders(read, index, options);
  const vae = await readVae(read, index);

  const [trainedHeight, trainedWidth] = latentModelOf(config).sampleSize ?? [64, 64];
  const height = options.height === undefined ? trainedHeight : options.height / vae.scaleFactor;
  const width = options.width === undefined ? trainedWidth : options.width / vae.scaleFactor;
  const microConditions =
    !isPixArt(config) && config.additionEmbed ? (index?.requiresAestheticsScore ? 5 : 6) : 0;
  const controls = nets.map((net, index) => ({ config: net, index }));
  const structure = { guided: true, rescale: false, slots: 1, noise: false, microConditions };
  const tokens = isPixArt(config) ? MAX_SEQUENCE_LENGTH : 77;
  const { target, componentTargets: targets = {}, steps = 50 } = options;
  const shape = { ...structure, controls, images: 1, height, width, tokens };
  const networks = [...encoders, inspectDenoiser(config, shape, steps, targets.unet ?? target)];
  if (vae.decoder)
    networks.push(inspectNetwork(vae.decoder, { batch: 1, height, width }, targets.vae ?? target));
  const alone = isTransformer ? 'PixArtTransformer2DModel' : 'UNet2DConditionModel';
  return {
    name: source.name,
    className: index?.className ?? alone,
    width: width * vae.scaleFactor,
    height: height * vae.scaleFactor,
    networks,
    notices,
  };
}

/** Reports on the text encoders that a model has. */
async function inspectTextEncoders(
  read: Read,
  index: ModelIndex | undefined,
  { target, componentTargets: targets = {} }: InspectOptions,
): Promise<NetworkReport[]> {
  const networks: NetworkReport[] = [];
  for (const name of ['text_encoder', 'text_encoder_2'] as const) {
    const className = index?.components.get(name);
    if (className === undefined) continue;
    const own = name === 'text_encoder_2' ? targets.textEncoder2 : undefined;
    const encoderTarget = own ?? targets.textEncoder ?? target;
    if (className === 'T5EncoderModel') {
      const t5 = await read(`${name}/config.json`, parseT5EncoderConfig);
      const bindings = { tokens: MAX_SEQUENCE_LENGTH };
      networks.push(inspectNetwork(buildT5Encoder(t5), bindings, withF32Arithmetic(encoderTarget)));
      continue;
    }
    const config = await read(`${name}/config.json`, parseCLIPTextConfig);
    const graph = selectOutputs(
      buildCLIPText(config, { projection: className === 'CLIPTextModelWithProjection' }),
      ['last_hidden_state', 'pooler_output'],
    );
    const bindings = { batch: 1, tokens: config.maxPositionEmbeddings };
    networks.push({ ...inspectNetwork(graph, bindings, encoderTarget), name });
  }
  return networks;
}

/** The decoder of a model, if it has one, and pixels to a latent. */
async function readVae(
  read: Read,
  index: ModelIndex | undefined,
): Promise<{ readonly decoder?: Graph; readonly scaleFactor: number }> {
  const scaleFactor = (levels: number): number => 2 ** (levels - 1);
  switch (index?.components.get('vae')) {
    case 'AutoencoderTiny': {
      const config = await read('vae/config.json', parseAutoencoderTinyConfig);
      return {
        decoder: buildAutoencoderTinyDecoder(config),
        scaleFactor: scaleFactor(config.numDecoderBlocks.length),
      };
    }
    case 'AutoencoderKL': {
      const config = await read('vae/config.json', parseAutoencoderKLConfig);
      return {
        decoder: buildAutoencoderKLDecoder(config),
        scaleFactor: scaleFactor(config.blockOutChannels.length),
      };
    }
    default:
      return { scaleFactor: scaleFactor(4) };
  }
}
