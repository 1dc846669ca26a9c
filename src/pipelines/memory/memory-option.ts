/** @file The option `memory`: how many bytes of the device a pipeline may take. */

import { OptionError } from '../../errors.ts';
import { checkOptionNames } from '../../option-names.ts';
import { checkComponentNames } from '../load/component-names.ts';
import { COMPONENT_NAMES, type ComponentName } from '../load/placement.ts';

/** A budget of memory. */
export interface MemoryOption {
  /**
   * Bytes on the device (on the CPU: of its memory), as a number or with a unit: `'4GB'`, `'3.5GiB'`, `'800MB'`. What a
   * call needs is planned from it: components that do not fit at once are on the device in their own phases only; a
   * network that is too large by itself has its weights streamed, where the backend can; and if nothing exact fits, the
   * VAE works in tiles, which is reported.
   */
  readonly budget: number | string;
  /**
   * Budgets of devices that components were put on with `componentBackends`, by one of the components on each. Devices that
   * are not named may take `budget` each.
   */
  readonly componentBudgets?: { readonly [Component in ComponentName]?: number | string };
  /**
   * Bytes of the host's memory that may hold weights of components which are not on the device, so that they come back without
   * their files being read or packed again; nothing on backends whose memory is the host's. Default: half of what is free when
   * the model is loaded in Node and Deno, 0 in pages. What streaming has to hold while a network runs is held anyway.
   */
  readonly hostBudget?: number | string;
  /** Whether weights of wider files may be held as float8 (e4m3), which changes pictures a little. Default false. */
  readonly lossy?: boolean;
}

/** The option, checked. */
export interface MemoryBudget {
  readonly bytes: number;
  readonly componentBytes: ReadonlyMap<ComponentName, number>;
  readonly hostBytes: number;
  readonly lossy: boolean;
}

const OPTIONS = [
  'budget',
  'componentBudgets',
  'hostBudget',
  'lossy',
] as const satisfies readonly (keyof MemoryOption)[];

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/**
 * Reads the option. Throws OptionError naming what is wrong with it.
 * @param freeBytes of the host's memory
 */
export function readMemoryOption(option: MemoryOption, freeBytes = 0): MemoryBudget {
  if (typeof option !== 'object' || option === null)
    throw new OptionError('is not an object', {
      field: 'memory',
      remedy: "Give one with a budget, such as { budget: '4GB' }",
    });
  checkOptionNames('memory', option, OPTIONS);
  const { budget, componentBudgets = {}, hostBudget, lossy = false } = option;
  if (typeof lossy !== 'boolean')
    throw new OptionError('is neither true nor false', { field: 'memory.lossy', remedy: 'Give one of them' });
  checkComponentNames('memory.componentBudgets', componentBudgets);
  const componentBytes = COMPONENT_NAMES.flatMap((component): [ComponentName, number][] => {
    const value = componentBudgets[component];
    return value === undefined ? [] : [[component, readBytes(`memory.componentBudgets.${component}`, value)]];
  });
  return {
    bytes: readBytes('memory.budget', budget),
    componentBytes: new Map(componentBytes),
    hostBytes: readHostBytes(hostBudget, freeBytes),
    lossy,
  };
}

function readHostBytes(value: number | string | undefined, freeBytes: number): number {
  if (value === undefined) return Math.floor(freeBytes / 2);
  return Number(value) === 0 ? 0 : readBytes('memory.hostBudget', value);
}

/** A number of bytes, or one with a unit. Throws OptionError naming the field. */
export function readBytes(field: string, value: unknown): number {
  const [, digits, unit = ''] = /^\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*$/i.exec(String(value)) ?? [];
  const bytes = Math.floor(Number(digits) * (UNITS[unit.toUpperCase()] ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new OptionError(`${JSON.stringify(value)} is no number of bytes`, {
    field,
    remedy: "Give a number of bytes, or one with a unit, such as '4GB' or '3.5GiB'",
  });
}
