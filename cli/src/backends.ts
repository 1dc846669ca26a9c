/** @file What --backend and --adapter take, and what they stand for. */
import {
  cpu,
  OptionError,
  reference,
  webgpu,
  type BackendAttempt,
  type BackendFactory,
  type CpuOptions,
  type WebGpuOptions,
} from 'calotype';
import { cuda, hasNvidiaDriver } from 'calotype/node';
import { readCard } from './card.ts';
import type { ComponentChoices } from './component-backends.ts';
import { readChoice, readInteger } from './options.ts';
import { prepareAdapters } from './prepare.ts';
import { lacksVulkanLoader } from './vulkan-loader.ts';

const BACKENDS = ['auto', 'cuda', 'webgpu', 'cpu', 'reference'] as const;
const ADAPTERS = ['hardware', 'software'] as const;
const SIMD = ['simd128', 'relaxed-simd'] as const;

/** What shall compute. */
export interface BackendChoice {
  readonly name: (typeof BACKENDS)[number];
  /** Kind of WebGPU adapter. */
  readonly adapter: (typeof ADAPTERS)[number];
  /** Whether WebGPU's kernels are measured; undefined as the library does by default. */
  readonly autotune?: boolean;
  /** Whether wide linear layers are computed on signed bytes, on WebGPU and CUDA. */
  readonly int8: boolean;
  /** Whether they are computed on floats of eight bits, on CUDA. */
  readonly fp8?: true;
  /** What CUDA sums products of halves in, where that is not f32. */
  readonly accumulate?: 'f16';
  /** Number or UUID of the NVIDIA card, or a part of the GPU's name, where one was given. */
  readonly device?: number | string;
  /** Of the CPU backend, where they were given. */
  readonly cpu: CpuOptions;
}

/** The arguments, for the commands that take them. */
export const BACKEND_ARGS = {
  backend: {
    type: 'string',
    valueHint: BACKENDS.join('|'),
    description:
      'What computes: an NVIDIA card, any GPU, this CPU, plain TypeScript, or the first of the first three that works (auto)',
  },
  adapter: {
    type: 'string',
    valueHint: ADAPTERS.join('|'),
    description:
      "What --backend webgpu runs on: a GPU, or SwiftShader, for comparing shaders' results (hardware)",
  },
  autotune: {
    type: 'boolean',
    description:
      'Measure the kernels of WebGPU before they are chosen, a few seconds at most, and keep what was found (on GPUs that are not known)',
    negativeDescription: 'Measure no kernels',
  },
  int8: {
    type: 'boolean',
    description:
      'Compute wide linear layers on signed bytes on --backend webgpu or cuda: for GPUs with matrices of bytes; changes the picture a little',
  },
  fp8: {
    type: 'boolean',
    description:
      'Compute them on floats of eight bits on --backend cuda: for Hopper; changes the picture more',
  },
  accumulate: {
    type: 'string',
    valueHint: 'f16',
    description:
      'Sum products of f16 networks in f16, 128 at a time, on --backend cuda: for GeForce cards; changes the picture a little',
  },
  device: {
    type: 'string',
    valueHint: 'n|name',
    description:
      'Which card: its number or UUID for --backend cuda, a part of its name for --backend webgpu; `calotype doctor` lists them (the first)',
  },
  threads: {
    type: 'string',
    valueHint: 'n',
    description:
      'Threads of --backend cpu; 0 computes on the main one (as many as there are cores, at most 16)',
  },
  simd: {
    type: 'string',
    valueHint: SIMD.join('|'),
    description: 'Instructions of --backend cpu (the best that run here)',
  },
} as const;

/** @throws OptionError that names the option and the remedy. */
export function readBackend(args: Readonly<Record<string, unknown>>): BackendChoice {
  const read = <T>(option: string, parse: (name: string, text: string) => T): T | undefined => {
    const text = args[option];
    return typeof text === 'string' ? parse(`--${option}`, text) : undefined;
  };
  const name = read('backend', (option, text) => readChoice(option, text, BACKENDS)) ?? 'auto';
  const adapter = read('adapter', (option, text) => readChoice(option, text, ADAPTERS));
  if (adapter !== undefined && name !== 'webgpu')
    throw new OptionError('is of WebGPU only', {
      field: '--adapter',
      remedy: 'Give --backend webgpu with it, or leave it out.',
    });
  const int8 = args['int8'] === true;
  if (int8 && name !== 'webgpu' && name !== 'cuda')
    throw new OptionError('is of WebGPU and CUDA only', {
      field: '--int8',
      remedy: 'Give --backend webgpu or cuda with it, or leave it out.',
    });
  const fp8 = args['fp8'] === true;
  if (fp8 && name !== 'cuda')
    throw new OptionError('is of CUDA only', {
      field: '--fp8',
      remedy: 'Give --backend cuda with it, or leave it out.',
    });
  const accumulate = read('accumulate', (option, text) => readChoice(option, text, ['f16'] as const));
  if (accumulate !== undefined && name !== 'cuda')
    throw new OptionError('is of CUDA only', {
      field: '--accumulate',
      remedy: 'Give --backend cuda with it, or leave it out.',
    });
  const device = read('device', (option, text) => (name === 'cuda' ? readCard(option, text) : text));
  if (device !== undefined && name !== 'cuda' && name !== 'webgpu')
    throw new OptionError('is of cards', {
      field: '--device',
      remedy: 'Give --backend cuda or webgpu with it, or leave it out.',
    });
  const threads = read('threads', (option, text) => readInteger(option, text, { min: 0, max: 256 }));
  const simd = read('simd', (option, text) => readChoice(option, text, SIMD));
  const ofCpu = { ...(threads !== undefined && { threads }), ...(simd !== undefined && { simd }) };
  if (Object.keys(ofCpu).length > 0 && name !== 'cpu')
    throw new OptionError('is of the CPU backend only', {
      field: threads === undefined ? '--simd' : '--threads',
      remedy: 'Give --backend cpu with it, or leave it out.',
    });
  const { autotune } = args;
  return {
    name,
    adapter: adapter ?? 'hardware',
    ...(typeof autotune === 'boolean' && { autotune }),
    int8,
    ...(fp8 && { fp8 }),
    ...(accumulate !== undefined && { accumulate }),
    ...(device !== undefined && { device }),
    cpu: ofCpu,
  };
}

/**
 * The backends to try, in order. The reference is never taken unasked, as a picture would take it hours; nor is a
 * software adapter, which is slower than the CPU backend.
 */
export function backendsOf(
  { name, adapter, autotune, int8, fp8, accumulate, device, cpu: cpuOptions }: BackendChoice,
  switches: WebGpuOptions = {},
): readonly BackendFactory[] {
  const webgpuOptions: WebGpuOptions = {
    ...switches,
    ...(autotune !== undefined && { autotune }),
    ...(int8 && { int8: 'dynamic' }),
  };
  switch (name) {
    case 'auto':
      return [...(hasNvidiaDriver() ? [cuda()] : []), webgpu(webgpuOptions), cpu()];
    case 'cuda':
      return [
        cuda({
          ...(device !== undefined && { device }),
          ...(int8 && { int8: 'dynamic' }),
          ...(fp8 && { fp8: 'dynamic' }),
          ...(accumulate !== undefined && { accumulate }),
        }),
      ];
    case 'webgpu':
      return [
        webgpu({ ...webgpuOptions, adapter, ...(typeof device === 'string' && { adapterName: device }) }),
      ];
    case 'cpu':
      return [cpu(cpuOptions)];
    case 'reference':
      return [reference()];
  }
}

/**
 * Does what must be done before a backend can be opened; it may restart the program, with SwiftShader where that was
 * asked for, and where only the loader that comes with it is missing to see a GPU.
 */
export async function prepareBackend(
  { name, adapter }: BackendChoice,
  components: ComponentChoices = new Map(),
): Promise<void> {
  const wantsGpu = name === 'auto' || [name, ...components.values()].includes('webgpu');
  if (adapter === 'software' || (wantsGpu && lacksVulkanLoader())) await prepareAdapters();
}

/** Why a backend was passed over, as a line of text. */
export function describeAttempt({ backend, reason, remedy }: BackendAttempt): string {
  return `${backend} is not used: ${reason}. ${remedy}`;
}
