/** @file Linear layers on tensor cores, with every epilogue. */

import {
  channelsOf,
  defineCudaKernel,
  elementOf,
  isNarrow,
  rowsOf,
  type CudaContext,
  type NodesOf,
} from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { MEASURED, OVERLAP } from './tensor-core.ts';
import { GATED } from './packing.ts';

export const gemmLaunch = defineLaunch('gemm', {
  x: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  residual: 'pointer',
  out: 'pointer',
  xScales: 'pointer',
  weightScales: 'pointer',
  m: 'i32',
  n: 'i32',
  k: 'i32',
  operands: 'i32',
  activation: 'i32',
  element: 'i32',
  flags: 'i32',
  config: 'i32',
});

/** CALOTYPE_GEGLU of kernels/calotype.h. */
const GEGLU = 7;

/** CALOTYPE_VALUES of kernels/gemm.h. */
const VALUES = 0;

/** The arguments of a layer, its operands as they are. */
export function linearArguments(node: NodesOf<'linear'>, context: CudaContext) {
  const { activation } = node.attrs;
  return {
    x: 'x',
    weight: 'weight',
    bias: 'bias',
    residual: 'residual',
    out: 'y',
    xScales: 'none',
    weightScales: 'none',
    m: rowsOf(context, node.output),
    n: context.shapeOf(node.inputs.weight)[0],
    k: channelsOf(context, node.inputs.x),
    operands: VALUES,
    activation: activation === 'geglu' ? GEGLU : activationCode(activation),
    element: elementOf(context, node.output),
    flags: OVERLAP,
    config: MEASURED,
  };
}

export const gemm = defineCudaKernel({
  id: 'gemm',
  ops: ['linear'],
  inPlace: () => 'residual',
  supports(node, context) {
    const [columns, channels] = context.shapeOf(node.inputs.weight);
    const gated = node.attrs.activation === 'geglu';
    return isNarrow(context, node.output) && channels % 8 === 0 && (!gated || columns % 16 === 0);
  },
  packing: (node) => (node.attrs.activation === 'geglu' ? { weight: GATED, bias: GATED } : {}),
  launches: (node, context) => [gemmLaunch.with(linearArguments(node, context))],
});
