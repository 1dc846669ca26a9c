/** @file Reference for affine. */

import type { AffineOp } from '../../../graph/ops/affine.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const affine: ReferenceOp<AffineOp> = ({ x }, { scale, shift }) =>
  mapElements(x.data.length, (i) => x.data[i] * scale + shift);
