/** @file The options of `calotype bench` that set how WebGPU runs, so that what each thing gains can be measured. */
import { DAWN_SETTINGS, type DawnSetting, type WebGpuOptions } from 'calotype';
import { argumentReader, listOf } from '../arguments.ts';
import { readChoice } from '../options.ts';

/** How WebGPU runs. */
export interface Switches {
  readonly setting: DawnSetting;
  readonly withoutFusions: readonly string[];
  readonly withoutKernels: readonly string[];
  readonly recorded: boolean;
}

/** The arguments. */
export const SWITCH_ARGS = {
  setting: {
    type: 'string',
    valueHint: Object.keys(DAWN_SETTINGS).join('|'),
    description:
      "How WebGPU runs: as in a page, as in a page with Chrome's flags for f16 and matrices, or as Node can (native)",
  },
  'without-fusions': {
    type: 'string',
    valueHint: 'names',
    description: 'Fusions to leave out on WebGPU, by commas; `calotype inspect` names them',
  },
  'without-kernels': {
    type: 'string',
    valueHint: 'ids',
    description: 'Kernels to leave out on WebGPU, by commas: gemm-matrix, attention-tiled, ...',
  },
  unrecorded: {
    type: 'boolean',
    description: 'Make bind groups and uniforms anew for every step on WebGPU',
  },
} as const;

/** @throws OptionError for an unknown setting; names are checked when they are used. */
export function readSwitches(args: Readonly<Record<string, unknown>>): Switches {
  const { text } = argumentReader<string>(args);
  return {
    setting: readChoice('--setting', text('setting') ?? 'native', ['page', 'flags', 'native']),
    withoutFusions: listOf(text('without-fusions')),
    withoutKernels: listOf(text('without-kernels')),
    recorded: args['unrecorded'] !== true,
  };
}

/** What they mean to the library. */
export function webGpuOptions({
  setting,
  withoutFusions,
  withoutKernels,
  recorded,
}: Switches): WebGpuOptions {
  return {
    toggles: DAWN_SETTINGS[setting],
    without: { fusions: withoutFusions, kernels: withoutKernels },
    recorded,
  };
}

/** The command's options that set them; empty for the defaults. */
export function describeSwitches({ setting, withoutFusions, withoutKernels, recorded }: Switches): string {
  return [
    ...(setting === 'native' ? [] : [`--setting ${setting}`]),
    ...(withoutFusions.length > 0 ? [`--without-fusions ${withoutFusions.join(',')}`] : []),
    ...(withoutKernels.length > 0 ? [`--without-kernels ${withoutKernels.join(',')}`] : []),
    ...(recorded ? [] : ['--unrecorded']),
  ].join(' ');
}
