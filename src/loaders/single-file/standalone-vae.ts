/** @file A model with another VAE than its own: a safetensors file in either layout, or a diffusers folder. */
import * as v from 'valibot';
import { FileFormatError, NotFoundError } from '../../errors.ts';
import { bufferSource } from '../byte-source.ts';
import { openWeights } from '../component.ts';
import { joinPath, readJson, type ModelSource } from '../model-source.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import type { WeightSource } from '../weight-source.ts';
import { vaeConfig } from './configs.ts';
import { mappedWeights } from './mapped-weights.ts';
import { isVae, vaeTensors } from './vae-names.ts';

/** A VAE by itself. */
export interface StandaloneVae {
  /** Its config.json in a model whose own VAE has the configuration `own` (undefined: it has none). */
  config(own: unknown, isXl: boolean): unknown;
  /** Its weights; the caller closes them. */
  open(signal?: AbortSignal): Promise<WeightSource>;
  /** Lets go of its file, if nothing was opened. */
  close(): Promise<void>;
}

/** How names in a VAE's file may begin. */
const PREFIXES = ['', 'first_stage_model.', 'vae.'];

/**
 * A VAE in one file. Such files carry no configuration: the model's own is taken, as sd-webui does.
 * Throws FileFormatError for a file that holds no AutoencoderKL.
 */
export function vaeFromFile(file: SafetensorsFile): StandaloneVae {
  for (const prefix of PREFIXES) {
    const names = [...file.names()].filter((name) => name.startsWith(prefix));
    const keys = new Set(names.map((name) => name.slice(prefix.length)));
    if (!isVae(keys)) continue;
    const tensors = vaeTensors(keys, prefix);
    const weights = mappedWeights(file, tensors, async () => file.close());
    return {
      config: (own, isXl) =>
        own !== undefined && (classOf(own) ?? 'AutoencoderKL') === 'AutoencoderKL'
          ? own
          : vaeConfig(weights, { scalingFactor: isXl ? 0.13025 : 0.18215, sampleSize: isXl ? 128 : 64 }),
      open: () => Promise.resolve(weights),
      close: async () => file.close(),
    };
  }
  const first = [...file.names()].slice(0, 5).join(', ');
  throw new FileFormatError(`holds no AutoencoderKL: its first tensors are ${first}`, {
    file: file.name,
    field: 'vae',
    remedy:
      "Use a VAE in the original (ldm) or diffusers' layout; others as a diffusers folder with config.json",
  });
}

/**
 * A VAE of a diffusers folder: its own, or the one of a whole model.
 * Throws NotFoundError if the folder has no config.json of one.
 */
export async function vaeFromModel(source: ModelSource, signal?: AbortSignal): Promise<StandaloneVae> {
  for (const folder of ['vae', '']) {
    const path = joinPath(folder, 'config.json');
    if (!(await source.exists(path, signal))) continue;
    const config = await readJson(source, path, signal);
    return {
      config: () => config,
      open: async (aborting) => openWeights(source, folder, aborting ? { signal: aborting } : {}),
      close: () => Promise.resolve(),
    };
  }
  throw new NotFoundError('there is neither vae/config.json nor config.json', {
    file: source.name,
    field: 'vae',
    remedy: "Name a VAE's folder, a whole model's, or a .safetensors file",
  });
}

const CONFIG = 'vae/config.json';
const INDEX = 'model_index.json';

/** `model` with another VAE in the place of its own, if it has one. */
export function withVae(model: ModelSource, vae: StandaloneVae): ModelSource {
  const asFile = (path: string, content: unknown) =>
    bufferSource(`${model.name}/${path}`, new TextEncoder().encode(JSON.stringify(content)));
  const config = async (signal: AbortSignal | undefined): Promise<unknown> => {
    const index = await readJson(model, INDEX, signal);
    const own = (await model.exists(CONFIG, signal)) ? await readJson(model, CONFIG, signal) : undefined;
    return vae.config(own, classOf(index)?.startsWith('StableDiffusionXL') === true);
  };
  return {
    name: model.name,
    async open(path, signal) {
      if (path === CONFIG) return asFile(path, await config(signal));
      if (path !== INDEX) return model.open(path, signal);
      const index = await readJson(model, path, signal);
      const vaeClass = classOf(await config(signal)) ?? 'AutoencoderKL';
      // What is no object is left to the reader of the file, which refuses it.
      return asFile(path, v.is(recordSchema, index) ? { ...index, vae: ['diffusers', vaeClass] } : index);
    },
    exists: async (path, signal) => path === CONFIG || model.exists(path, signal),
    list: async (folder, signal) => model.list(folder, signal),
    weights: async (component, signal) =>
      component === 'vae' ? vae.open(signal) : model.weights?.(component, signal),
  };
}

const recordSchema = v.looseObject({ _class_name: v.optional(v.string()) });

/** The class that a configuration names. Those of AutoencoderKL may leave it out. */
function classOf(config: unknown): string | undefined {
  return v.is(recordSchema, config) ? config._class_name : undefined;
}
