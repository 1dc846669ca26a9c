/** @file A single-file checkpoint as a model folder: configurations made from its tensors, weights under diffusers' names. */
import { bufferSource, type ByteSource } from '../byte-source.ts';
import { joinPath, type ModelSource } from '../model-source.ts';
import { CheckpointWeights, type Checkpoint, type CheckpointComponent } from './checkpoint.ts';
import { textConfig, unetConfig, vaeConfig, type Config } from './configs.ts';
import { publishedTokenizer, vocabularyFrom, type OpenTokenizerFile } from './tokenizer-source.ts';

/** What a checkpoint does not hold, and where it is to come from. */
export interface CheckpointSourceOptions {
  /** A diffusers model whose configurations and tokenizers are taken; default: read off the file. */
  readonly config?: ModelSource | undefined;
  /** Where a CLIP vocabulary is; default: `config`, else the Hub repository published with the model's kind. */
  readonly tokenizer?: ModelSource | undefined;
  /** Opens a Hub repository. */
  readonly resolve: (repository: string) => Promise<ModelSource>;
}

/** The class of each component. */
const CLASSES: Readonly<Record<CheckpointComponent, readonly [library: string, className: string]>> = {
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
};

/** A checkpoint's files as they would lie in a model folder. Throws what reading its shapes throws. */
export function checkpointSource(checkpoint: Checkpoint, options: CheckpointSourceOptions): ModelSource {
  const { file, kind } = checkpoint;
  const { config, tokenizer, resolve } = options;
  const weights = new CheckpointWeights(checkpoint);
  const asFile = (path: string, content: unknown): ByteSource =>
    bufferSource(`${file.name}/${path}`, new TextEncoder().encode(JSON.stringify(content)));
  const made = config === undefined ? madeConfigs(checkpoint, weights) : undefined;

  const padToken = (folder: string): string =>
    folder === 'tokenizer_2' || kind.openClipText ? '!' : '<|endoftext|>';
  const openTokenizerFile: OpenTokenizerFile = tokenizer
    ? vocabularyFrom(tokenizer, padToken, asFile)
    : config
      ? (path, signal) => config.open(path, signal)
      : publishedTokenizer(kind.repository, resolve);
  const isTokenizer = (path: string): boolean => /^tokenizer(_2)?\//.test(path);

  return {
    name: file.name,
    async open(path, signal) {
      if (isTokenizer(path)) return openTokenizerFile(path, signal);
      if (made === undefined) return config?.open(path, signal);
      const content = made.get(path);
      return content === undefined ? undefined : asFile(path, content);
    },
    async exists(path, signal) {
      if (isTokenizer(path)) {
        const opened = await openTokenizerFile(path, signal);
        await opened?.close?.();
        return opened !== undefined;
      }
      return made?.has(path) ?? config?.exists(path, signal) ?? false;
    },
    list: async () => Promise.resolve(undefined),
    weights: async (component) => Promise.resolve(weights.open(component)),
  };
}

/** The configurations that a folder of this model would have, by path. */
function madeConfigs(checkpoint: Checkpoint, weights: CheckpointWeights): ReadonlyMap<string, Config> {
  const { kind, unet, components } = checkpoint;
  const index: Record<string, unknown> = {
    _class_name: kind.className,
    ...kind.settings,
    scheduler: ['diffusers', kind.scheduler['_class_name']],
  };
  const configs = new Map<string, Config>([
    ['model_index.json', index],
    ['scheduler/scheduler_config.json', kind.scheduler],
  ]);
  for (const component of components.keys()) {
    index[component] = CLASSES[component];
    const suffix = component === 'text_encoder_2' ? '_2' : '';
    if (component.startsWith('text_encoder')) index[`tokenizer${suffix}`] = ['transformers', 'CLIPTokenizer'];
    const tensors = weights.look(component);
    const made = {
      unet: () => unetConfig(tensors, unet, kind),
      vae: () => vaeConfig(tensors, kind),
      text_encoder: () => textConfig(tensors, kind.openClipText, false),
      text_encoder_2: () => textConfig(tensors, true, true),
    }[component]();
    configs.set(joinPath(component, 'config.json'), made);
  }
  return configs;
}
