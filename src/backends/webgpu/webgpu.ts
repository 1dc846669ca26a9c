/** @file The WebGPU backend: browsers, Deno, and Node through Dawn. */

import { OptionError } from '../../errors.ts';
import { KERNEL_IDS } from '../../kernels/index.ts';
import type { DeviceTraits } from '../../kernels/kernel.ts';
import { later, laterPart } from '../../later.ts';
import { checkOptionNames } from '../../option-names.ts';
import type { WeightHold } from '../../plan/stream.ts';
import { FUSIONS } from '../../plan/target.ts';
import type { Backend, BackendFactory } from '../backend.ts';
import { acquireDevice, type WebGpuOptions } from './acquire.ts';
import { compileProgram, warmPipelines } from './compile.ts';
import type { OpenDevice } from './device.ts';
import { Tuner } from './autotune.ts';
import { createTarget } from './target.ts';
import { WebGpuWeights } from './weights.ts';

/**
 * The WebGPU backend as a factory; see `WebGpuOptions`. It takes GPUs only, unless told otherwise.
 * @throws OptionError for an option that there is not, a value that is none of its choices or no time, and a name in
 * `without` that is no fusion's or no kernel's
 */
export function webgpu(options: WebGpuOptions = {}): BackendFactory {
  checkOptionNames('webgpu', options, OPTIONS);
  for (const [option, choices] of Object.entries(CHOICES))
    checkChoice(option, Reflect.get(options, option), choices);
  checkOptionNames('without', options.without ?? {}, ['fusions', 'kernels']);
  const { fusions = [], kernels = [] } = options.without ?? {};
  checkNames('fusion', fusions, FUSIONS);
  checkNames('kernel', kernels, KERNEL_IDS);
  const { submitMs = Infinity } = options;
  if (!(submitMs > 0))
    throw new OptionError(`is ${submitMs}, which is no time`, {
      field: 'submitMs',
      remedy: 'Give milliseconds, or leave it out',
    });
  return {
    name: 'webgpu',
    async open({ signal } = {}) {
      signal?.throwIfAborted();
      const device = await acquireDevice(options);
      return 'reason' in device ? device : createBackend(device, options);
    },
  };
}

/** Whoever plans within a budget loads it with `measureMemory`. */
const MEMORY = laterPart('budgets of memory', () => import('./device-memory.ts'));

const HOLDS: ReadonlySet<WeightHold> = new Set(['host', 'float8']);

const OPTIONS = [
  'gpu',
  'adapter',
  'adapterName',
  'powerPreference',
  'toggles',
  'without',
  'recorded',
  'int8',
  'autotune',
  'submitMs',
  'mappedMemory',
  'traits',
] as const satisfies readonly (keyof WebGpuOptions)[];

/** What options may be that are names. */
const CHOICES = {
  adapter: ['hardware', 'software', 'any'],
  powerPreference: ['high-performance', 'low-power'],
  int8: ['dynamic'],
} as const satisfies { readonly [Name in keyof WebGpuOptions]?: readonly WebGpuOptions[Name][] };

function checkChoice(option: string, value: unknown, choices: readonly string[]): void {
  if (value !== undefined && !choices.some((choice) => choice === value))
    throw new OptionError(`${JSON.stringify(value)} is none of its values`, {
      field: option,
      remedy: `Use one of ${choices.join(', ')}, or leave it out`,
    });
}

function checkNames(what: string, names: readonly string[], known: readonly string[]): void {
  for (const name of names)
    if (!known.includes(name))
      throw new OptionError(`is not a ${what}`, {
        field: name,
        remedy: `The ${what}s are ${known.join(', ')}`,
      });
}

/** Sentences are loaded where there is something to say. */
async function lacksOf(traits: DeviceTraits): Promise<readonly string[]> {
  if (!traits.software && traits.f16 && traits.largestSubgroup > 0) return [];
  return (await later('what GPUs lack', () => import('./lacks.ts'))).describeLacks(traits);
}

async function createBackend(device: OpenDevice, options: WebGpuOptions): Promise<Backend> {
  const { without, recorded, autotune, int8 } = options;
  const { traits, kernels, limits, description } = device;
  const isReal = !device.isSoftware && options.traits === undefined;
  const tuner = isReal || (autotune ?? false) !== false ? await Tuner.open(device, autotune) : undefined;
  const policy = {
    kernels,
    without: new Set(without?.kernels),
    tuned: tuner?.rows ?? new Map<string, string>(),
  };
  const barred = new Set(without?.fusions);
  const fusions = new Set(FUSIONS.filter((fusion) => !barred.has(fusion)));
  return {
    name: 'webgpu',
    description,
    lacks: await lacksOf(traits),
    dtypes: traits.f16 ? ['f32', 'f16'] : ['f32'],
    target: (dtype, arithmetic) => createTarget(dtype, { arithmetic, traits, limits, policy, fusions, int8 }),
    ...((tuner?.isDone ?? true) && { warm: (plan, weights) => warmPipelines(device, plan, weights) }),
    ...(tuner && { tune: (plan, signal) => tuner.tune(plan, policy.without, signal) }),
    createWeights: (reader) => new WebGpuWeights(device, reader),
    demand: (plan, storedType) => MEMORY.loaded.demandOf(device, plan, storedType),
    measureMemory: async () => (await MEMORY.load()).measureMemory(device, options),
    holds: HOLDS,
    memory: device.meter,
    compile: (plan, compileOptions) => compileProgram(device, plan, compileOptions, recorded),
    async idle() {
      device.check();
      await device.order.after(() => device.gpu.queue.onSubmittedWorkDone());
      device.check();
    },
    reclaim: () => MEMORY.loaded.reclaimMemory(device),
    measurePeak: async (dtype) =>
      (await later('benchmarks', () => import('./peak.ts'))).measurePeak(device, dtype),
    dispose: () => device.destroy(),
  };
}
