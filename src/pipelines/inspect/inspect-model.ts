/** @file Reads a model's configurations and reports on each of its networks, without weights or a device. */

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

/** Reports on a pipeline's folder, or on one that has a UNet's or transformer's config.json only (no weights are needed). */
export async function inspectModel(source: ModelSource, options: InspectOptions): Promise<ModelReport> {
  const notices: string[] = [];
  const read = async <T>(
    path: string,
    parse: (json: unknown, context: { file: string; onNotice: (notice: string) => void }) => T,
  ): Promise<T> =>
    parse(await readJson(source, path, options.signal), {
      file: `${source.name}/${path}`,
      onNotice: (notice) => notices.push(notice),
    });
  const { target, componentTargets: targets = {}, steps = 50 } = options;
  const index: ModelIndex | undefined = (await source.exists('model_index.json', options.signal))
    ? await read('model_index.json', parseModelIndex)
    : undefined;
  const isTransformer = index
    ? index.components.has('transformer')
    : await source.exists('transformer/config.json', options.signal);
  const config: DenoiserConfig = isTransformer
    ? await read('transformer/config.json', parsePixArtTransformerConfig)
    : await read('unet/config.json', parseUNet2DConditionConfig);
  const alone = isTransformer ? 'PixArtTransformer2DModel' : 'UNet2DConditionModel';
  if (isPixArt(config)) await PIXART.load();
  const nets = await readControlNets(options.controlnets ?? [], config, source.name, options.signal);
  if (nets.length > 0) await CONTROL.load();
  const networks: NetworkReport[] = [];

  for (const suffix of ['', '_2'] as const) {
    const className = index?.components.get(`text_encoder${suffix}`);
    if (className === undefined) continue;
    const encoderTarget =
      (suffix === '_2' ? targets.textEncoder2 : undefined) ?? targets.textEncoder ?? target;
    if (className === 'T5EncoderModel') {
      const t5 = await read('text_encoder/config.json', parseT5EncoderConfig);
      const tokens = MAX_SEQUENCE_LENGTH;
      networks.push(inspectNetwork(buildT5Encoder(t5), { tokens }, withF32Arithmetic(encoderTarget)));
      continue;
    }
    const config = await read(`text_encoder${suffix}/config.json`, parseCLIPTextConfig);
    const graph = selectOutputs(
      buildCLIPText(config, { projection: className === 'CLIPTextModelWithProjection' }),
      ['last_hidden_state', 'pooler_output'],
    );
    const name = `text_encoder${suffix}`;
    networks.push({
      ...inspectNetwork(graph, { batch: 1, tokens: config.maxPositionEmbeddings }, encoderTarget),
      name,
    });
  }

  const vaeClass = index?.components.get('vae');
  const tiny =
    vaeClass === 'AutoencoderTiny' ? await read('vae/config.json', parseAutoencoderTinyConfig) : undefined;
  const kl =
    vaeClass === 'AutoencoderKL' ? await read('vae/config.json', parseAutoencoderKLConfig) : undefined;
  const scale = 2 ** ((kl?.blockOutChannels.length ?? tiny?.numDecoderBlocks.length ?? 4) - 1);
  const [trainedHeight, trainedWidth] = latentModelOf(config).sampleSize ?? [64, 64];
  const height = options.height === undefined ? trainedHeight : options.height / scale;
  const width = options.width === undefined ? trainedWidth : options.width / scale;
  const microConditions =
    !isPixArt(config) && config.additionEmbed ? (index?.requiresAestheticsScore ? 5 : 6) : 0;
  const controls = nets.map((net, index) => ({ config: net, index }));
  const structure = { guided: true, rescale: false, slots: 1, noise: false, microConditions };
  const tokens = isPixArt(config) ? MAX_SEQUENCE_LENGTH : 77;
  networks.push(
    inspectDenoiser(
      config,
      { ...structure, controls, images: 1, height, width, tokens },
      steps,
      targets.unet ?? target,
    ),
  );
  const decoder = kl ? buildAutoencoderKLDecoder(kl) : tiny ? buildAutoencoderTinyDecoder(tiny) : undefined;
  if (decoder) networks.push(inspectNetwork(decoder, { batch: 1, height, width }, targets.vae ?? target));
  return {
    name: source.name,
    className: index?.className ?? alone,
    width: width * scale,
    height: height * scale,
    networks,
    notices,
  };
}
