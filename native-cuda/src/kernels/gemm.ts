/** @file Linear layers on tensor cores, with every epilogue. */

import { defineCudaKernel, elementOf, isNarrow, rowsOf, type CudaContext, type NodesOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { OVERLAP } from './tensor-core.ts';
import { GATED } from './packing.ts';
import { partialBytes, tileArguments, tileOf, type MatrixSizes } from './tiles.ts';

export const gemmLaunch = defineLaunch('gemm', {
  x: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  residual: 'pointer',
  out: 'pointer',
  xScales: 'pointer',
  weightScales: 'pointer',
  partials: 'pointer',
  counters: 'pointer',
  partialBytes: 'i64',
  m: 'i32',
  n: 'i32',
  k: 'i32',
  operands: 'i32',
  activation: 'i32',
  element: 'i32',
  flags: 'i32',
  config: 'i32',
  parts: 'i32',
});

/** CALOTYPE_GEGLU of kernels/calotype.h. */
export const GEGLU = 7;

/** CALOTYPE_VALUES of kernels/gemm.h. */
const VALUES = 0;

function isGated({ attrs }: NodesOf<'linear'>): boolean {
  return attrs.activation === 'geglu';
}

function sizesOf(node: NodesOf<'linear'>, context: CudaContext): MatrixSizes {
  const [n, depth] = context.shapeOf(node.inputs.weight);
  return { m: rowsOf(context, node.output), n, depth, taps: 1, phases: 1 };
}

/** The arguments of a layer, its operands as they are; but for the tile. */
export function linearArguments(node: NodesOf<'linear'>, context: CudaContext) {
  const { activation } = node.attrs;
  const { m, n, depth } = sizesOf(node, context);
  return {
    x: 'x',
    weight: 'weight',
    bias: 'bias',
    residual: 'residual',
    out: 'y',
    xScales: 'none',
    weightScales: 'none',
    m,
    n,
    k: depth,
    operands: VALUES,
    activation: activation === 'geglu' ? GEGLU : activationCode(activation),
    element: elementOf(context, node.output),
    flags: OVERLAP,
  };
}

export const gemm = defineCudaKernel({
  id: 'gemm',
  ops: ['linear'],
  inPlace: () => 'residual',
  supports(node, context) {
    const [columns, channels] = context.shapeOf(node.inputs.weight);
    return isNarrow(context, node.output) && channels % 8 === 0 && (!isGated(node) || columns % 16 === 0);
  },
  packing: (node) => (isGated(node) ? { weight: GATED, bias: GATED } : {}),
  scratchBytes(node, context) {
    const sizes = sizesOf(node, context);
    return partialBytes(sizes, tileOf(sizes, context, isGated(node)));
  },
  launches(node, context) {
    const sizes = sizesOf(node, context);
    const tile = tileArguments(sizes, tileOf(sizes, context, isGated(node)));
    return [gemmLaunch.with({ ...linearArguments(node, context), ...tile })];
  },
});
