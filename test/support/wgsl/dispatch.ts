/** @file Runs the workgroups of a dispatch of a compiled shader over the buffers that are bound. */

import type { CompiledShader } from './compile.ts';
import { Memory, RaceWatch } from './memory.ts';
import { runWorkgroup, type Lane, type LaneStart } from './workgroup.ts';

/** A range of a buffer that is bound. */
export interface BoundRange {
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Runs all workgroups, one after another. Their memory begins as NaN: kernels may not count on zeros. */
export function runDispatch(
  shader: CompiledShader,
  bound: ReadonlyMap<number, BoundRange>,
  workgroups: readonly [number, number, number],
  subgroupSize: number,
): void {
  const memories = new Map<string, Memory>();
  const shared: Memory[] = [];
  for (const { name, binding, bytes, unit } of shader.variables) {
    if (binding === undefined) {
      const padded = Math.ceil(bytes / 4) * 4;
      const memory = new Memory(name, new ArrayBuffer(padded), 0, bytes, new RaceWatch(bytes, unit));
      memories.set(name, memory);
      shared.push(memory);
    } else {
      const range = bound.get(binding);
      if (!range) throw new Error(`nothing is bound as ${name} (${binding})`);
      memories.set(name, new Memory(name, range.buffer, range.offset, range.size));
    }
  }
  const main = shader.link(memories);
  const [columns, rows, layers] = workgroups;
  for (let i = 0; i < columns * rows * layers; i++) {
    const env = {
      workgroup_id: [i % columns, Math.floor(i / columns) % rows, Math.floor(i / (columns * rows))],
      num_workgroups: workgroups,
    };
    for (const memory of shared) {
      memory.u32.fill(0xffffffff);
      if (memory.watch) memory.watch.phase++;
    }
    if (shader.waits)
      runWorkgroup(main as (start: LaneStart) => Lane, env, { lanes: shader.lanes, subgroupSize, shared });
    else
      for (let lane = 0; lane < shader.lanes; lane++)
        main({ ...env, local_invocation_index: lane, subgroup_size: subgroupSize });
  }
}
