/** @file 2-D convolution over NHWC, with the prologues and epilogues that passes fold into it. */

import { addDims, floorDivDim, mulDims, sizeOf, type Dim } from '../../tensor/shape.ts';
import { check, checkDim, checkRank, checkShape, dimOf, type Activation, type OpDefinition } from '../op.ts';
import type { ValueId } from '../op.ts';

/** Convolution: model files use `x` and `weight`; passes add the other inputs and all attributes but the first two. */
export interface Conv2dOp {
  readonly inputs: {
    /** [batch, height, width, channels] */
    readonly x: ValueId;
    /** A second source, read as if concatenated to `x` along channels. */
    readonly x2?: ValueId;
    /** [outChannels, channels, kernelHeight, kernelWidth], as torch stores it. */
    readonly weight: ValueId;
    /** [outChannels] */
    readonly bias?: ValueId;
    /** [rows, outChannels]: a vector added to every pixel of a batch row (time embedding). */
    readonly rows?: ValueId;
    /** [batch] i32: which of `rows` each batch row takes; without it, its own. */
    readonly rowIndex?: ValueId;
    /** Same shape as the output; added before the activation. */
    readonly residual?: ValueId;
  };
  readonly attrs: {
    readonly stride: number;
    /** Zero padding: top, left, bottom, right. */
    readonly padding: readonly [number, number, number, number];
    /** Doubles height and width of the input by nearest neighbour while loading. */
    readonly upsample: boolean;
    readonly activation: Activation;
  };
}

function outputSize(size: Dim, kernel: number, before: number, after: number, stride: number): Dim {
  return addDims(floorDivDim(addDims(size, before + after - kernel), stride), 1);
}

export const conv2d: OpDefinition<Conv2dOp> = {
  summary: 'convolution, NHWC',
  inPlace: ['residual'],
  dtypes: { rowIndex: 'i32' },
  infer(inputs, attrs) {
    const { x, x2, weight, bias, rows, rowIndex, residual } = inputs;
    checkRank('x', x, 4);
    checkRank('weight', weight, 4);
    const [batch, height, width] = [dimOf(x, 0), dimOf(x, 1), dimOf(x, 2)];
    if (x2) for (const axis of [0, 1, 2]) checkDim('x2', x2, axis, dimOf(x, axis));
    const channels = x2 ? addDims(dimOf(x, 3), dimOf(x2, 3)) : dimOf(x, 3);
    checkDim('weight', weight, 1, channels);
    const [out, kh, kw] = [dimOf(weight, 0), dimOf(weight, 2), dimOf(weight, 3)];
    check(typeof kh === 'number' && typeof kw === 'number', 'the kernel size must be a number');
    const scale = attrs.upsample ? 2 : 1;
    const [top, left, bottom, right] = attrs.padding;
    const shape = [
      batch,
      outputSize(mulDims(height, scale), kh, top, bottom, attrs.stride),
      outputSize(mulDims(width, scale), kw, left, right, attrs.stride),
      out,
    ];
    if (bias) checkShape('bias', bias, [out]);
    if (rows) checkDim('rows', rows, -1, out);
    if (rows && !rowIndex) checkDim('rows', rows, 0, batch);
    if (rowIndex) checkShape('rowIndex', rowIndex, [batch]);
    if (residual) checkShape('residual', residual, shape);
    return { shape, dtype: 'float' };
  },
  flops: ({ weight }, _attrs, output) =>
    mulDims(2, sizeOf(output.shape), dimOf(weight, 1), dimOf(weight, 2), dimOf(weight, 3)),
};
