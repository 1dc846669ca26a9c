/** @file Reference for multiply. */

import type { MultiplyOp } from '../../../graph/ops/multiply.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const multiply: ReferenceOp<MultiplyOp> = ({ a, b }) =>
  mapElements(a.data.length, (i) => a.data[i] * b.data[i]);
