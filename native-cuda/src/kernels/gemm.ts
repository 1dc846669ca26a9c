/** @file Linear layers on tensor cores, with every epilogue. */

import { channelsOf, defineCudaKernel, isHalf, rowsOf } from '../kernel.ts';
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
  m: 'i32',
  n: 'i32',
  k: 'i32',
  activation: 'i32',
  flags: 'i32',
  config: 'i32',
});

/** CALOTYPE_GEGLU of kernels/calotype.h. */
const GEGLU = 7;

export const gemm = defineCudaKernel({
  id: 'gemm',
  ops: ['linear'],
  inPlace: () => 'residual',
  supports(node, context) {
    const [columns, channels] = context.shapeOf(node.inputs.weight);
    const gated = node.attrs.activation === 'geglu';
    return isHalf(context, node.output) && channels % 8 === 0 && (!gated || columns % 16 === 0);
  },
  packing: (node) => (node.attrs.activation === 'geglu' ? { weight: GATED, bias: GATED } : {}),
  launches(node, context) {
    const { activation } = node.attrs;
    return [
      gemmLaunch.with({
        x: 'x',
        weight: 'weight',
        bias: 'bias',
        residual: 'residual',
        out: 'y',
        m: rowsOf(context, node.output),
        n: context.shapeOf(node.inputs.weight)[0],
        k: channelsOf(context, node.inputs.x),
        activation: activation === 'geglu' ? GEGLU : activationCode(activation),
        flags: OVERLAP,
        config: MEASURED,
      }),
    ];
  },
});
