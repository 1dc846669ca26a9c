/** @file A ControlNet by itself: a safetensors file in either layout, or a diffusers folder. */
import { FileFormatError, NotFoundError } from '../../errors.ts';
import type { ConfigContext } from '../config.ts';
import { openWeights } from '../component.ts';
import { parseControlNetConfig, type ControlNetConfig } from '../configs/controlnet.ts';
import { joinPath, readJson, type ModelSource } from '../model-source.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import type { WeightSource } from '../weight-source.ts';
import { controlNetConfig } from './configs.ts';
import { controlNetLayout } from './controlnet-names.ts';
import { mappedWeights } from './mapped-weights.ts';
import { refuseQuantised } from './refusals.ts';

/** A ControlNet that can be put beside a UNet. */
export interface StandaloneControlNet {
  readonly config: ControlNetConfig;
  /** Where its configuration was read, for messages. */
  readonly file: string;
  /** To be closed by whoever takes the net. */
  readonly weights: WeightSource;
}

/** Told about what was ignored. */
type OnNotice = NonNullable<ConfigContext['onNotice']>;

/**
 * A ControlNet in one file, whose configuration is read off its tensors.
 * Throws FileFormatError for a file that holds none.
 */
export function controlNetFromFile(file: SafetensorsFile): StandaloneControlNet {
  const names = [...file.names()];
  refuseQuantised(file.name, names);
  const layout = controlNetLayout(names);
  if (layout === undefined || names.includes('lora_controlnet') || names.includes('difference')) {
    const what =
      layout && 'only the difference from a UNet (Control-LoRA or "difference"), which is not read';
    throw new FileFormatError(
      `holds ${what ?? `no ControlNet: its first tensors are ${names.slice(0, 5).join(', ')}`}`,
      {
        file: file.name,
        field: 'controlnet',
        remedy:
          "Use a whole ControlNet in the original (cldm) or diffusers' layout, or a folder with config.json",
      },
    );
  }
  const tensors = new Map([...layout.names].map(([name, stored]) => [name, { name: stored }]));
  const weights = mappedWeights(file, tensors, async () => file.close());
  const config = parseControlNetConfig(controlNetConfig(weights, layout), { file: file.name });
  return { config, file: file.name, weights };
}

/**
 * A ControlNet of a diffusers folder: its own, or that of a whole model (`folder` inside it).
 * Throws NotFoundError if the folder has no config.json of one.
 */
export async function controlNetFromModel(
  source: ModelSource,
  folder: string | undefined,
  options: { readonly signal?: AbortSignal; readonly variant?: string; readonly onNotice: OnNotice },
): Promise<StandaloneControlNet> {
  const { signal, variant, onNotice } = options;
  for (const place of folder === undefined ? ['', 'controlnet'] : [folder]) {
    const path = joinPath(place, 'config.json');
    if (!(await source.exists(path, signal))) continue;
    const file = `${source.name}/${path}`;
    const config = parseControlNetConfig(await readJson(source, path, signal), { file, onNotice });
    const weights = await openWeights(source, place, {
      ...(signal && { signal }),
      ...(variant !== undefined && { variant }),
      onNotice,
    });
    return { config, file, weights };
  }
  throw new NotFoundError('there is no config.json of a ControlNet', {
    file: source.name,
    field: 'controlnet',
    remedy: "Name a ControlNet's folder or Hub id, or a .safetensors file",
  });
}
