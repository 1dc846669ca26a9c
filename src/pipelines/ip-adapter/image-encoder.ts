/** @file A CLIP image encoder on a device: pictures in, embeddings or tokens out. */

import type { Backend, Program } from '../../backends/backend.ts';
import type { Graph } from '../../graph/graph.ts';
import { clipPixels } from '../../image/clip-pixels.ts';
import type { CalotypeImage } from '../../image/image.ts';
import { openWeights } from '../../loaders/component.ts';
import { parseCLIPVisionConfig, type CLIPVisionConfig } from '../../loaders/configs/clip-vision.ts';
import { joinPath, readJson, type ModelSource } from '../../loaders/model-source.ts';
import type { WeightSource } from '../../loaders/weight-source.ts';
import { buildCLIPVision, visionTokens } from '../../models/clip-vision.ts';
import { selectOutputs } from '../../models/select-outputs.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { loadNetwork, type ComponentDType } from '../load/load-network.ts';
import { RecentCache, type Network, type ProgramOptions } from '../network.ts';

/** What adapters read of an encoded picture: [embedding], or [tokens, embedding]. */
export type EncodedPart = 'image_embeds' | 'penultimate_hidden_state';

/** An encoder; weights are read when the first picture is encoded. */
export class ImageEncoder {
  readonly config: CLIPVisionConfig;
  readonly network: Network;
  readonly #weights: WeightSource;
  readonly #graph: Graph;
  readonly #programs = new RecentCache<Program>(2);

  constructor(network: Network, weights: WeightSource, config: CLIPVisionConfig) {
    this.config = config;
    this.network = network;
    this.#weights = weights;
    this.#graph = buildCLIPVision(config);
  }

  /** Of each token and of the embedding. */
  sizesOf(part: EncodedPart): { readonly tokens: number; readonly channels: number } {
    return part === 'image_embeds'
      ? { tokens: 0, channels: this.config.projectionDim }
      : { tokens: visionTokens(this.config), channels: this.config.hiddenSize };
  }

  /** Encodes a picture, or for nothing what diffusers takes for no picture: zeros in the place of normalised colours. */
  async encode(
    picture: CalotypeImage | undefined,
    part: EncodedPart,
    options: ProgramOptions,
  ): Promise<Float32Array> {
    const { imageSize } = this.config;
    const program = await this.#programs.get(part, () =>
      this.network.compile(selectOutputs(this.#graph, [part]), { batch: 1 }, options),
    );
    program.write(
      'pixel_values',
      picture ? clipPixels(picture, imageSize) : new Float32Array(imageSize * imageSize * 3),
    );
    program.write('zeros', new Int32Array(1));
    program.run();
    return unlessAborted(program.read(part), options.signal);
  }

  /** What a picture takes. */
  demand(part: EncodedPart): PlanDemand {
    return this.network.demand(selectOutputs(this.#graph, [part]), { batch: 1 });
  }

  /** Frees programs and weights; the next use makes them again. */
  release(): void {
    this.#programs.dispose();
    this.network.vacate();
  }

  dispose(): void {
    this.release();
    this.network.dispose();
    void this.#weights.close();
  }
}

/**
 * Loads the encoder in a folder. Only headers are read.
 * @throws NotFoundError, FileFormatError or ConfigError naming the file and field
 */
export async function loadImageEncoder(
  source: ModelSource,
  folder: string,
  backend: Backend,
  dtype: ComponentDType,
  signal: AbortSignal | undefined,
): Promise<ImageEncoder> {
  const path = joinPath(folder, 'config.json');
  const config = parseCLIPVisionConfig(await readJson(source, path, signal), {
    file: `${source.name}/${path}`,
  });
  const weights = await openWeights(source, folder, signal ? { signal } : {});
  try {
    const network = loadNetwork('image_encoder', backend, weights, [buildCLIPVision(config)], { dtype });
    return new ImageEncoder(network, weights, config);
  } catch (error) {
    await weights.close();
    throw error;
  }
}
