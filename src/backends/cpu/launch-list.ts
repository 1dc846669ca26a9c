/** @file Launches as the run loop reads them: records, arguments and constants in one range of the memory. */

import type { Engine } from './engine.ts';
import { ALIGNMENT, type CpuLaunch } from './kernel.ts';
import type { Range } from './memory.ts';

const RECORD_BYTES = 16;
/** The function index that ends a list (wasm/main.ts). */
const END = -1;

/** A launch and the addresses behind its operands' names. */
export interface BoundLaunch {
  readonly launch: CpuLaunch;
  addressOf(operand: string): number;
}

/** Launches in memory, ready to be run by `Engine.run(list.address)`. */
export interface LaunchList {
  readonly range: Range;
  readonly address: number;
}

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Bytes of a launch list. */
export function launchListBytes(launches: readonly CpuLaunch[]): number {
  return listSize(launches.filter(({ tasks }) => tasks > 0)).bytes;
}

/** Where a list's parts begin: records, in slots of 4 bytes, then arguments, then constants, in bytes. */
function listSize(launches: readonly CpuLaunch[]) {
  const argumentCount = launches.reduce((sum, { args }) => sum + args.length, 0);
  const recordSlots = (RECORD_BYTES / 4) * (launches.length + 1);
  const head = align(4 * (recordSlots + argumentCount));
  const constants = launches.flatMap(({ args }) =>
    args.flatMap((arg) => (typeof arg === 'object' && 'data' in arg ? [arg.data] : [])),
  );
  const bytes = constants.reduce((sum, data) => sum + align(data.byteLength), head);
  return { recordSlots, head, bytes };
}

/**
 * Writes a launch list; launches without tasks are left out.
 * @param stamps where each launch leaves the time at which it ended, f64; default: nowhere.
 * @throws KernelError for an export that is not there, OutOfMemoryError.
 */
export function writeLaunches(
  engine: Engine,
  bound: readonly BoundLaunch[],
  what: string,
  stamps?: Range,
): LaunchList {
  const launches = bound.filter(({ launch }) => launch.tasks > 0);
  const { recordSlots, head, bytes } = listSize(launches.map(({ launch }) => launch));
  const range = engine.memory.allocate(bytes, what);
  const { address } = range;
  const integers = engine.memory.integers(address, head / 4);
  const floats = engine.memory.floats(address, head / 4);
  let slot = recordSlots;
  let constant = address + head;
  for (const [i, { launch, addressOf }] of launches.entries()) {
    const stamp = stamps ? stamps.address + 8 * i : 0;
    integers.set([engine.functionIndex(launch.name), address + 4 * slot, launch.tasks, stamp], 4 * i);
    for (const arg of launch.args) {
      if (typeof arg === 'number') integers[slot] = arg;
      else if (typeof arg === 'string') integers[slot] = addressOf(arg);
      else if ('f32' in arg) floats[slot] = arg.f32;
      else if ('operand' in arg) integers[slot] = addressOf(arg.operand) + arg.offsetBytes;
      else {
        const { data } = arg;
        const isInteger = data instanceof Int32Array;
        if (isInteger) engine.memory.integers(constant, data.length).set(data);
        else engine.memory.floats(constant, data.length).set(data);
        integers[slot] = constant;
        constant += align(data.byteLength);
      }
      slot++;
    }
  }
  integers[4 * launches.length] = END;
  return { range, address };
}
