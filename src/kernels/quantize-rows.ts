/** @file Activations as signed bytes, before the kernels that multiply them. */

import source from '../../shaders/quantize-rows.wgsl';
import { gemmSize } from './gemm.ts';
import { channelsOf, fold, rowsOf, type KernelContext, type Launch, type NodesOf } from './kernel.ts';
import type { Packing } from './packing.ts';

/** Columns after which values and gates of a weight of bytes alternate. */
export const GATE = 8;

/** Bytes of the scratch ranges: the rows, and a scale for each. */
export function quantizedBytes(node: NodesOf<'linear'>, context: KernelContext): number[] {
  const rows = rowsOf(context, node.inputs.x);
  return [rows * channelsOf(context, node.inputs.x), rows * 4];
}

/** How these layers read their weight: values and gates alternate in it where there are gates. */
export function int8Packing(node: NodesOf<'linear'>, context: KernelContext): { readonly weight: Packing } {
  return { weight: { kind: 'int8', gate: gemmSize(node, context).gated ? GATE : 0, columns: 16 } };
}

/** The launch that fills them. */
export function quantizeRowsLaunch(node: NodesOf<'linear'>, context: KernelContext): Launch {
  const rows = rowsOf(context, node.inputs.x);
  const { software } = context.traits;
  return {
    name: 'quantize-rows',
    source,
    constants: { LANES: software ? 1 : 64, SHARED: !software },
    dims: { rows, vectors: channelsOf(context, node.inputs.x) / 4 },
    workgroups: fold(software ? Math.ceil(rows / 64) : rows, context.traits),
  };
}
