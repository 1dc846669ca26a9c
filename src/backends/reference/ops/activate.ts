/** @file Reference for activate. */

import type { ActivateOp } from '../../../graph/ops/activate.ts';
import { ACTIVATIONS } from '../activation.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const activate: ReferenceOp<ActivateOp> = ({ x }, { activation }) => {
  const apply = ACTIVATIONS[activation];
  return mapElements(x.data.length, (i) => apply(x.data[i]));
};
