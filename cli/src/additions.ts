/** @file What the options in `addition-args.ts` ask for, read and done. */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import {
  HIRES_UPSCALERS,
  OptionError,
  type CallOptions,
  type DiffusionPipeline,
  type FreeUOptions,
  type HiresOptions,
} from 'calotype';
import { ADDITION_ENTRIES, type ADDITION_ARGS } from './addition-args.ts';
import { argumentReader, checkOneForEach, listOf, type ArgumentReader } from './arguments.ts';
import { readChoice, readInteger, readNumber, readSides, readSize } from './options.ts';
import { readPictures } from './picture.ts';

/** An IP-Adapter's place, as `loadIpAdapter` takes it. */
interface AdapterPlace {
  readonly source: string;
  readonly subfolder: string;
  readonly weightName: string;
}

/** What was asked for. */
export interface Additions {
  /** What was given, for the recipe. */
  readonly texts: Readonly<Record<string, string>>;
  readonly adapters: readonly AdapterPlace[];
  readonly adapterImages: readonly string[];
  /** One for each adapter, or none. */
  readonly adapterMasks: readonly string[];
  readonly adapterScales: readonly number[];
  readonly imageEncoder: string | undefined;
  readonly freeU: FreeUOptions | undefined;
  readonly tiling: boolean;
  readonly slicing: boolean;
  /** Options of the call. */
  readonly options: Partial<CallOptions>;
  /** Those that only refiners take. */
  readonly refining: Partial<CallOptions>;
}

/** @throws OptionError that names the option and the remedy. */
export function readAdditions(args: Readonly<Record<string, unknown>>): Additions {
  // Recipes hold flags as the text `true`.
  const flagOrText = (value: unknown): string | undefined =>
    typeof value === 'string' ? value : value === true ? 'true' : undefined;
  const { text, read } = argumentReader<string>(args, flagOrText);
  const entries = Object.entries(ADDITION_ENTRIES).flatMap(([entry, name]): [string, string][] => {
    const value = text(name);
    return value === undefined ? [] : [[entry, value]];
  });
  const adapters = read('ip-adapter', (_option, value) => listOf(value).map(readAdapterPlace)) ?? [];
  const images = read('ip-adapter-image', (_option, value) => listOf(value)) ?? [];
  checkOneForEach('--ip-adapter-image', images, 'IP-Adapter', adapters);
  const masks = read('ip-adapter-mask', (_option, value) => listOf(value)) ?? [];
  if (masks.length > 0) checkOneForEach('--ip-adapter-mask', masks, 'IP-Adapter', adapters);
  const scales = read('ip-adapter-scale', readNumbers) ?? [1];
  const layers = read('pag-layers', (_option, value) => listOf(value));
  const hires = readHires(read);
  return {
    texts: Object.fromEntries(entries),
    adapters,
    adapterImages: images,
    adapterMasks: masks,
    adapterScales: adapters.map((_, i) => scales[Math.min(i, scales.length - 1)]),
    imageEncoder: text('image-encoder'),
    freeU: read('freeu', readFreeU),
    tiling: text('vae-tiling') === 'true',
    slicing: text('vae-slicing') === 'true',
    options: present({
      pagScale: read('pag-scale', (option, value) => readNumber(option, value, { min: 0 })),
      pagAdaptiveScale: read('pag-adaptive-scale', (option, value) => readNumber(option, value, { min: 0 })),
      pagAppliedLayers: layers,
      hires,
      cacheInterval: read('cache-interval', (option, value) => readInteger(option, value, { min: 1 })),
      noiseLevel: read('noise-level', (option, value) => readInteger(option, value, { min: 0 })),
      originalSize: read('original-size', readSizeCondition),
      targetSize: read('target-size', readSizeCondition),
      cropsCoordsTopLeft: read('crops-coords', readCoordinates),
      negativeOriginalSize: read('negative-original-size', readSizeCondition),
      negativeTargetSize: read('negative-target-size', readSizeCondition),
      negativeCropsCoordsTopLeft: read('negative-crops-coords', readCoordinates),
    }),
    refining: present({
      aestheticScore: read('aesthetic-score', (option, value) => readNumber(option, value)),
      negativeAestheticScore: read('negative-aesthetic-score', (option, value) => readNumber(option, value)),
    }),
  };
}

/** What is there. */
function present(options: {
  readonly [Name in keyof CallOptions]: CallOptions[Name] | undefined;
}): Partial<CallOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

type Reader = ArgumentReader<keyof typeof ADDITION_ARGS>['read'];

function readHires(read: Reader): HiresOptions | undefined {
  const scale = read('hires-scale', (option, value) => readNumber(option, value, { min: 1, max: 16 }));
  const size = read('hires-size', readSize);
  const more = {
    upscaler: read('hires-upscaler', (option, value) => readChoice(option, value, HIRES_UPSCALERS)),
    strength: read('hires-strength', (option, value) => readNumber(option, value, { min: 0, max: 1 })),
    numInferenceSteps: read('hires-steps', (option, value) => readInteger(option, value, { min: 1 })),
  };
  const given = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined));
  if (scale === undefined && size === undefined) {
    const [name] = Object.keys(given);
    if (name === undefined) return undefined;
    throw new OptionError('there is no second pass that they could apply to', {
      field: '--hires-...',
      remedy: 'Give --hires-scale 2, or --hires-size WxH.',
    });
  }
  return { ...(scale !== undefined && { scale }), ...size, ...given };
}

function readNumbers(option: string, text: string): readonly number[] {
  return listOf(text).map((part) => readNumber(option, part));
}

/** A file that is there, else one in a Hub repository. */
export function readAdapterPlace(path: string): AdapterPlace {
  if (existsSync(path)) return { source: dirname(path), subfolder: '', weightName: basename(path) };
  const [, source, subfolder = '', weightName] = /^([\w.-]+\/[\w.-]+)\/(?:(.+)\/)?([^/]+)$/.exec(path) ?? [];
  if (source !== undefined && weightName !== undefined) return { source, subfolder, weightName };
  throw new OptionError(`there is no file '${path}'`, {
    field: '--ip-adapter',
    remedy:
      'Give a .safetensors file, or its place on the Hub, such as h94/IP-Adapter/models/ip-adapter_sd15.safetensors.',
  });
}

function readFreeU(option: string, text: string): FreeUOptions {
  const numbers = readNumbers(option, text);
  const [s1, s2, b1, b2] = numbers;
  if (numbers.length === 4) return { s1, s2, b1, b2 };
  throw new OptionError(`'${text}' is not four numbers`, {
    field: option,
    remedy: 'Give s1,s2,b1,b2, such as --freeu 0.9,0.2,1.2,1.4.',
  });
}

/** `WIDTHxHEIGHT` as diffusers' [height, width]; what SDXL is told may be any size. */
function readSizeCondition(option: string, text: string): [number, number] {
  const { width, height } = readSides(option, text);
  return [height, width];
}

function readCoordinates(option: string, text: string): [number, number] {
  const numbers = readNumbers(option, text);
  if (numbers.length === 2) return [numbers[0], numbers[1]];
  throw new OptionError(`'${text}' is not two numbers`, {
    field: option,
    remedy: `Give pixels from the top and from the left, such as ${option} 0,0.`,
  });
}

/** Sets a pipeline up as was asked for; gives the options of its call. */
export async function applyAdditions(
  pipe: DiffusionPipeline,
  additions: Additions,
  signal: AbortSignal,
): Promise<Partial<CallOptions>> {
  const { adapters, adapterImages, adapterMasks, adapterScales, imageEncoder, freeU, tiling, slicing } =
    additions;
  if (freeU) pipe.enableFreeU(freeU);
  if (tiling) pipe.vae.enableTiling();
  if (slicing) pipe.vae.enableSlicing();
  if (adapters.length === 0) return {};
  await pipe.loadIpAdapter(
    adapters.map(({ source }) => source),
    {
      subfolder: adapters.map(({ subfolder }) => subfolder),
      weightName: adapters.map(({ weightName }) => weightName),
      ...(imageEncoder !== undefined && { imageEncoderFolder: imageEncoder }),
      signal,
    },
  );
  pipe.setIpAdapterScale(adapterScales);
  const ipAdapterImage = await readPictures('--ip-adapter-image', adapterImages);
  const ipAdapterMasks = await readPictures('--ip-adapter-mask', adapterMasks);
  return { ipAdapterImage, ...(ipAdapterMasks.length > 0 && { ipAdapterMasks }) };
}
