/** @file Reference for reshape. */

import type { ReshapeOp } from '../../../graph/ops/reshape.ts';
import type { ReferenceOp } from '../op.ts';

export const reshape: ReferenceOp<ReshapeOp> = ({ x }) => x.data;
